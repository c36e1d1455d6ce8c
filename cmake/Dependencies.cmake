# Libraries of others. LibTorch is described by hand: its own CMake package insists on a CUDA toolkit, and we link
# only its CPU half (libtorch_cuda.so is loaded when a GPU is asked for, see src/device).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
pkg_check_modules(FFMPEG REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale libswresample)
pkg_check_modules(SOXR REQUIRED IMPORTED_TARGET soxr)
pkg_check_modules(LIBJPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
if(LATENTCAST_TESTS)
  find_package(GTest REQUIRED)
endif()

set(LATENTCAST_TORCH_DIR "$ENV{LATENTCAST_TORCH_DIR}" CACHE PATH
    "The folder 'torch' of an installed PyTorch 2.11 (holds include/ and lib/)")
if(NOT LATENTCAST_TORCH_DIR)
  file(GLOB found /opt/latentcast/venv/lib/python3*/site-packages/torch
                  $ENV{HOME}/.cache/latentcast/venv/lib/python3*/site-packages/torch)
  foreach(dir IN LISTS found)
    if(EXISTS ${dir}/lib/libtorch_cpu.so)
      set(LATENTCAST_TORCH_DIR ${dir} CACHE PATH "" FORCE)
      break()
    endif()
  endforeach()
endif()
if(NOT EXISTS "${LATENTCAST_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch not found. Run tools/setup.sh, or set LATENTCAST_TORCH_DIR to the folder 'torch' of an "
                      "installed PyTorch 2.11.")
endif()
message(STATUS "LibTorch: ${LATENTCAST_TORCH_DIR}")

foreach(lib c10 torch_cpu)
  add_library(torch::${lib} SHARED IMPORTED)
  set_target_properties(torch::${lib} PROPERTIES
    IMPORTED_LOCATION ${LATENTCAST_TORCH_DIR}/lib/lib${lib}.so
    INTERFACE_INCLUDE_DIRECTORIES "${LATENTCAST_TORCH_DIR}/include;${LATENTCAST_TORCH_DIR}/include/torch/csrc/api/include")
endforeach()
# What libtorch_cpu.so itself needs is found by its own RPATH, not by the linker.
set_property(TARGET torch::torch_cpu PROPERTY INTERFACE_LINK_LIBRARIES torch::c10)
set_property(TARGET torch::torch_cpu PROPERTY INTERFACE_LINK_OPTIONS -Wl,--unresolved-symbols=ignore-in-shared-libs)
# One precompiled header for everything that sees tensors.
add_library(latentcast_tensors STATIC ${CMAKE_SOURCE_DIR}/cmake/tensors_pch.cpp)
target_link_libraries(latentcast_tensors PUBLIC latentcast_compiler torch::torch_cpu)
target_compile_options(latentcast_tensors PUBLIC -Wno-deprecated-declarations)
target_precompile_headers(latentcast_tensors PRIVATE <ATen/ATen.h> <string> <vector>)
