// Convolution of the mode fp32: products and sums in double, as the reference has them, rounded to float32 once.
#include "kernels/generic/conv.hpp"

namespace qz::engine {

extern const Kernel conv_f32_generic;
constinit const Kernel conv_f32_generic{
    .run = generic::run_conv<float, float, double>,
    .packed_bytes = generic::packed_bytes<float>,
    .pack = generic::pack<float>,
};

}  // namespace qz::engine
