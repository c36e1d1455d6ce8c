# latentcast_mpi_test(NAME SOURCES a.cpp ... LIBS latentcast_x ... RANKS 1 2 4 [TENSORS] [TIMEOUT s] [LABELS l ...])
#   one GoogleTest program with tests/support/mpi_main.cpp as its main, registered as one ctest test for each number of
#   ranks: NAME_1rank, NAME_2ranks ... A test fails if it fails on any rank. More ranks than cores are fine.
function(latentcast_mpi_test name)
  cmake_parse_arguments(arg "TENSORS" "TIMEOUT" "SOURCES;LIBS;LABELS;RANKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(test_${name} ${CMAKE_SOURCE_DIR}/tests/support/mpi_main.cpp ${arg_SOURCES})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
  target_link_libraries(test_${name} PRIVATE latentcast_compiler latentcast_comm ${arg_LIBS} GTest::gmock GTest::gtest)
  if(arg_TENSORS)
    target_link_libraries(test_${name} PRIVATE latentcast_tensors)
    target_precompile_headers(test_${name} REUSE_FROM latentcast_tensors)
    # The header was compiled with -fPIC; executables would take -fPIE and could not use it.
    set_target_properties(test_${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(test_${name} PRIVATE -fPIC)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    set(test ${name}_${ranks}ranks)
    if(ranks EQUAL 1)
      set(test ${name}_1rank)
    endif()
    add_test(NAME ${test} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:test_${name}>)
    latentcast_mpi_environment(${test})
    set_tests_properties(${test} PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS ${ranks} LABELS "mpi;${arg_LABELS}")
  endforeach()
endfunction()

# latentcast_mpi_environment(TEST): what a test needs to start mpirun, on any machine, as any user.
function(latentcast_mpi_environment test)
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT
    LATENTCAST_TEST_DATA=${CMAKE_SOURCE_DIR}/tests/data LATENTCAST_PROGRAM=${CMAKE_BINARY_DIR}/latentcast
    OMP_WAIT_POLICY=passive
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
    OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_oob_tcp_if_include=lo)
endfunction()
