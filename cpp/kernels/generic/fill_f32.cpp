// One value everywhere: what a padded tensor holds before its middle is copied in.
#include <algorithm>

#include "engine/kernel.hpp"

namespace qz::engine {
namespace {

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Fill& fill = *std::get_if<Fill>(&arguments);
    std::fill_n(frame.write<float>(fill.target) + part.first, part.last - part.first, fill.value);
}

}  // namespace

extern const Kernel fill_f32_generic;
constinit const Kernel fill_f32_generic{.run = run};

}  // namespace qz::engine
