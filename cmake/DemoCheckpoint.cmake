# The demo's weights lie packed in the repository, and unpacked, which git ignores, where configs/demo/job.yaml looks.
set(demo_packed ${CMAKE_SOURCE_DIR}/configs/demo/checkpoint.tar.xz)
set(demo_unpacked ${CMAKE_SOURCE_DIR}/configs/demo/checkpoint)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${demo_packed})
if(${demo_packed} IS_NEWER_THAN ${demo_unpacked}/unpacked)
  file(REMOVE_RECURSE ${demo_unpacked})
  file(ARCHIVE_EXTRACT INPUT ${demo_packed} DESTINATION ${CMAKE_SOURCE_DIR}/configs/demo TOUCH)
  file(TOUCH ${demo_unpacked}/unpacked)
endif()
