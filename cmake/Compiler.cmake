# Warnings, sanitizers and ccache for every target of ours.
add_library(latentcast_compiler INTERFACE)
target_compile_options(latentcast_compiler INTERFACE -Wall -Wextra -Wno-unused-parameter)
target_include_directories(latentcast_compiler INTERFACE ${CMAKE_SOURCE_DIR}/include)

if(LATENTCAST_SANITIZE)
  # LibTorch is not instrumented, so container checks across its boundary would be wrong alarms.
  set(flags -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
            -fno-omit-frame-pointer)
  target_compile_options(latentcast_compiler INTERFACE ${flags})
  target_link_options(latentcast_compiler INTERFACE ${flags})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Precompiled headers need the two sloppiness settings, or ccache never hits.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
               CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()
