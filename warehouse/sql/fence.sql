SELECT token FROM writer_fence
