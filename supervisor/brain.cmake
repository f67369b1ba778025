# The brain of the supervisor: configuration and decisions, no processes and no sockets.
# supervisor/CMakeLists.txt builds the static library oc_supervisor_brain from this list.
file(GLOB OC_SUPERVISOR_BRAIN_SOURCES CONFIGURE_DEPENDS
     ${CMAKE_CURRENT_LIST_DIR}/admin*.c ${CMAKE_CURRENT_LIST_DIR}/choose*.c ${CMAKE_CURRENT_LIST_DIR}/conductor*.c
     ${CMAKE_CURRENT_LIST_DIR}/config_pack*.c ${CMAKE_CURRENT_LIST_DIR}/control*.c
     ${CMAKE_CURRENT_LIST_DIR}/duration*.c ${CMAKE_CURRENT_LIST_DIR}/env*.c ${CMAKE_CURRENT_LIST_DIR}/flags*.c
     ${CMAKE_CURRENT_LIST_DIR}/help*.c ${CMAKE_CURRENT_LIST_DIR}/options*.c ${CMAKE_CURRENT_LIST_DIR}/status*.c)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/help.c PROPERTIES COMPILE_DEFINITIONS
                            OC_VERSION="v${PROJECT_VERSION}")
