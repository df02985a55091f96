/* A room without a source file yet still has to be a library. */
typedef int hd_empty_room;
