// Owner of the precompiled ATen header; see Dependencies.cmake.
