// An epilogue over float32 values: norms, sums of two tensors, functions, and codes that no layer before them takes in.
#include "engine/kernel.hpp"
#include "kernels/generic/epilogue.hpp"

namespace qz::engine {
namespace {

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Pointwise& pointwise = *std::get_if<Pointwise>(&arguments);
    const float* const source = frame.read<float>(pointwise.source) + part.first * pointwise.epilogue.channels;
    generic::finish(pointwise.epilogue, frame, source, part.first, part.last - part.first, reinterpret_cast<float*>(part.scratch));
}

}  // namespace

extern const Kernel pointwise_f32_generic;
constinit const Kernel pointwise_f32_generic{.run = run};

}  // namespace qz::engine
