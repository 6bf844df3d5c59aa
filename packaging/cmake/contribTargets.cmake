# The targets, of a build and of an installation alike.

# contrib_add_targets(INCLUDE LIB VERSION [GLOBAL]): contrib::static and contrib::shared, of the libraries in a folder.
# The `if`s are for installations of one library only.
function(contrib_add_targets include lib version)
    find_package(Threads REQUIRED QUIET)
    set(is_build "${ARGN}")
    string(REGEX MATCH "^[0-9]+\\.[0-9]+" soversion "${version}")
    if(NOT version MATCHES "^0\\.")
        string(REGEX MATCH "^[0-9]+" soversion "${version}")
    endif()
    if(APPLE)
        set(shared "${lib}/libcontrib.${version}.dylib")
        set(soname "@rpath/libcontrib.${soversion}.dylib")
    else()
        set(shared "${lib}/libcontrib.so.${version}")
        set(soname "libcontrib.so.${soversion}")
    endif()
    if(is_build OR EXISTS "${lib}/libcontrib.a")
        add_library(contrib_static STATIC IMPORTED ${ARGN})
        set_target_properties(contrib_static PROPERTIES
            IMPORTED_LOCATION "${lib}/libcontrib.a"
            INTERFACE_INCLUDE_DIRECTORIES "${include}"
            INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
        add_library(contrib::static ALIAS contrib_static)
    endif()
    if(is_build OR EXISTS "${shared}")
        add_library(contrib_shared SHARED IMPORTED ${ARGN})
        set_target_properties(contrib_shared PROPERTIES
            IMPORTED_LOCATION "${shared}"
            IMPORTED_SONAME "${soname}"
            INTERFACE_INCLUDE_DIRECTORIES "${include}")
        add_library(contrib::shared ALIAS contrib_shared)
    endif()
endfunction()

# contrib_choose([static|shared]): contrib::contrib, by component, or by BUILD_SHARED_LIBS, or what there is.
function(contrib_choose)
    if(ARGC GREATER 0 AND TARGET contrib::${ARGV0})
        set(kind "${ARGV0}")
    elseif(TARGET contrib::shared AND (BUILD_SHARED_LIBS OR NOT TARGET contrib::static))
        set(kind shared)
    else()
        set(kind static)
    endif()
    add_library(contrib::contrib ALIAS contrib_${kind})
endfunction()
