// In a static executable crtbeginT.o registers all frame descriptions, and the first exception sorts them: ten
// milliseconds for ours. The linker has sorted them already (--eh-frame-hdr), and the unwinder finds that table by
// itself where nothing is registered. CMakeLists.txt has the linker put these in the place of libgcc's (--wrap).

extern "C" {
// NOLINTBEGIN: the names are libgcc's and the linker's
void __wrap___register_frame_info(const void* /*begin*/, void* /*object*/) {}
void* __wrap___deregister_frame_info(const void* /*begin*/) { return nullptr; }
// NOLINTEND
}
