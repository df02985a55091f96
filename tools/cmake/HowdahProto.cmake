# hd_proto_room(NAME DIR d DEPS ...): a room with the C code of every d/*.proto or d/proto/*.proto
# in it, made by protoc-c into the build tree ("hdfs.pb-c.h"), and the C files of d itself.
find_program(PROTOC_C protoc-c REQUIRED)

function(hd_proto_room name)
    cmake_parse_arguments(ARG "" "DIR" "DEPS;LIBS" ${ARGN})
    file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_DIR}/*.proto
         ${CMAKE_SOURCE_DIR}/${ARG_DIR}/proto/*.proto)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_DIR}/*.c)
    set(out ${CMAKE_BINARY_DIR}/gen/${name})
    file(MAKE_DIRECTORY ${out})
    set(generated)
    foreach(proto ${protos})
        get_filename_component(stem ${proto} NAME_WE)
        get_filename_component(dir ${proto} DIRECTORY)
        add_custom_command(
            OUTPUT ${out}/${stem}.pb-c.c ${out}/${stem}.pb-c.h
            COMMAND ${PROTOC_C} --c_out=${out} -I${dir} ${proto}
            DEPENDS ${protos}
            COMMENT "protoc-c ${stem}.proto")
        list(APPEND generated ${out}/${stem}.pb-c.c)
    endforeach()
    if(NOT generated AND NOT sources)
        set(sources ${CMAKE_SOURCE_DIR}/tools/cmake/empty.c)
    endif()
    add_library(hd_${name} STATIC ${generated} ${sources})
    set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS "-w")
    target_include_directories(hd_${name} PUBLIC ${out})
    target_link_libraries(hd_${name} PUBLIC hd_flags PkgConfig::PROTOBUF_C ${ARG_LIBS})
    foreach(dep ${ARG_DEPS})
        target_link_libraries(hd_${name} PUBLIC hd_${dep})
    endforeach()
endfunction()
