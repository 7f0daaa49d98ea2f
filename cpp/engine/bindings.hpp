#pragma once

#include <nanobind/nanobind.h>

namespace qz::engine {

// Adds the engine's kernels and programs to the module.
void bind(nanobind::module_& module);

}  // namespace qz::engine
