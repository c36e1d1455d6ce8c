# latentcast_mpi_test(NAME SOURCES a.cpp ... LIBS latentcast_x ... RANKS 1 2 4 [TENSORS] [TIMEOUT s] [LABELS l ...])
#   one GoogleTest program with tests/support/mpi_main.cpp as its main, registered as one ctest test for each number of
#   ranks: NAME_1rank, NAME_2ranks ... A test fails if it fails on any rank. More ranks than cores are fine.
function(latentcast_mpi_test name)
  cmake_parse_arguments(arg "TENSORS" "TIMEOUT" "SOURCES;LIBS;LABELS;RANKS" ${ARGN})
  if(arg_TENSORS)
    set(tensors TENSORS)
  endif()
  latentcast_test_program(test_${name} ${tensors}
    SOURCES ${CMAKE_SOURCE_DIR}/tests/support/mpi_main.cpp ${arg_SOURCES}
    LIBS latentcast_comm ${arg_LIBS} GTest::gtest)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
  foreach(ranks IN LISTS arg_RANKS)
    set(test ${name}_${ranks}ranks)
    if(ranks EQUAL 1)
      set(test ${name}_1rank)
    endif()
    add_test(NAME ${test} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:test_${name}>)
    latentcast_test_properties(${test} TIMEOUT ${arg_TIMEOUT} PROCESSORS ${ranks} LABELS mpi ${arg_LABELS})
    latentcast_mpi_environment(${test})
  endforeach()
endfunction()

# latentcast_mpi_environment(TEST): what a registered test needs besides to start mpirun, on any machine, as any user.
function(latentcast_mpi_environment test)
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
    OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_oob_tcp_if_include=lo)
endfunction()
