# latentcast_module(NAME SOURCES a.cpp ... LIBS other ... [TENSORS])
#   a static library latentcast_NAME; TENSORS gives it LibTorch and the shared precompiled header.
function(latentcast_module name)
  cmake_parse_arguments(arg "TENSORS" "" "SOURCES;LIBS" ${ARGN})
  add_library(latentcast_${name} STATIC ${arg_SOURCES})
  target_link_libraries(latentcast_${name} PUBLIC latentcast_compiler ${arg_LIBS})
  if(arg_TENSORS)
    target_link_libraries(latentcast_${name} PUBLIC latentcast_tensors)
    target_precompile_headers(latentcast_${name} REUSE_FROM latentcast_tensors)
  endif()
endfunction()

# latentcast_parallel_sources(NAME a.cpp ... [OPTIONS ...])
#   sources of latentcast_module(NAME) that call at::parallel_for(), which runs on one thread if OpenMP is off where it is
#   compiled. OPTIONS are further compiler options of theirs.
function(latentcast_parallel_sources name)
  cmake_parse_arguments(arg "" "" "OPTIONS" ${ARGN})
  set_source_files_properties(${arg_UNPARSED_ARGUMENTS} PROPERTIES
    COMPILE_OPTIONS "-fopenmp;${arg_OPTIONS}" SKIP_PRECOMPILE_HEADERS ON)
  target_link_libraries(latentcast_${name} PUBLIC torch::openmp)
endfunction()

# latentcast_test_program(TARGET SOURCES a.cpp ... LIBS latentcast_x ... [TENSORS])
#   a program of tests, not registered; its main is among LIBS or SOURCES.
function(latentcast_test_program target)
  cmake_parse_arguments(arg "TENSORS" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE latentcast_compiler ${arg_LIBS} GTest::gmock)
  if(arg_TENSORS)
    target_link_libraries(${target} PRIVATE latentcast_tensors)
    target_precompile_headers(${target} REUSE_FROM latentcast_tensors)
    # The header was compiled with -fPIC; executables would take -fPIE and could not use it.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

# latentcast_test_properties(TEST [TIMEOUT s] [PROCESSORS n] [LABELS l ...])
#   what every test has. It finds tests/data through LATENTCAST_TEST_DATA and the program itself through
#   LATENTCAST_PROGRAM (environment). Threads that wait sleep, since tests share cores.
function(latentcast_test_properties test)
  cmake_parse_arguments(arg "" "TIMEOUT;PROCESSORS" "LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  set_tests_properties(${test} PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} LABELS "${arg_LABELS}")
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT
    LATENTCAST_TEST_DATA=${CMAKE_SOURCE_DIR}/tests/data LATENTCAST_PROGRAM=${CMAKE_BINARY_DIR}/latentcast
    OMP_WAIT_POLICY=passive)
endfunction()

# latentcast_test(NAME SOURCES a.cpp ... LIBS latentcast_x ... [TENSORS] [TIMEOUT s] [PROCESSORS n] [LABELS l ...])
#   one GoogleTest program test_NAME, registered as one ctest test.
function(latentcast_test name)
  cmake_parse_arguments(arg "TENSORS" "TIMEOUT;PROCESSORS" "SOURCES;LIBS;LABELS" ${ARGN})
  if(arg_TENSORS)
    set(tensors TENSORS)
  endif()
  latentcast_test_program(test_${name} ${tensors} SOURCES ${arg_SOURCES} LIBS ${arg_LIBS} GTest::gtest_main)
  add_test(NAME ${name} COMMAND test_${name})
  latentcast_test_properties(${name} TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} LABELS ${arg_LABELS})
endfunction()

# latentcast_long_part(NAME PREFIX [TIMEOUT s] [PROCESSORS n])
#   tests of latentcast_test(NAME) whose names begin with PREFIX are left out of it and registered as NAME_long, with
#   the label long.
function(latentcast_long_part name prefix)
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "GTEST_FILTER=-${prefix}*")
  add_test(NAME ${name}_long COMMAND test_${name} --gtest_filter=${prefix}*)
  latentcast_test_properties(${name}_long LABELS long ${ARGN})
endfunction()
