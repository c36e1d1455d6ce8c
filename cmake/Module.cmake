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

# latentcast_test(NAME SOURCES a.cpp ... LIBS latentcast_x ... [TENSORS] [TIMEOUT s] [LABELS l ...])
#   one GoogleTest program, registered as one ctest test. Threads that wait sleep, since tests share cores. It finds tests/data through LATENTCAST_TEST_DATA
#   and the program itself through LATENTCAST_PROGRAM (environment).
function(latentcast_test name)
  cmake_parse_arguments(arg "TENSORS" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(test_${name} ${arg_SOURCES})
  target_link_libraries(test_${name} PRIVATE latentcast_compiler ${arg_LIBS} GTest::gmock GTest::gtest_main)
  if(arg_TENSORS)
    target_link_libraries(test_${name} PRIVATE latentcast_tensors)
    target_precompile_headers(test_${name} REUSE_FROM latentcast_tensors)
    # The header was compiled with -fPIC; executables would take -fPIE and could not use it.
    set_target_properties(test_${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(test_${name} PRIVATE -fPIC)
  endif()
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}" ENVIRONMENT
    "LATENTCAST_TEST_DATA=${CMAKE_SOURCE_DIR}/tests/data;LATENTCAST_PROGRAM=${CMAKE_BINARY_DIR}/latentcast;OMP_WAIT_POLICY=passive")
endfunction()
