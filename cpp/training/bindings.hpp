#pragma once

#include <nanobind/nanobind.h>

namespace qz::training {

// Adds the passes of the fused training unit to the module.
void bind(nanobind::module_& module);

}  // namespace qz::training
