// Convolution of codes with integer weights v, int16: exact in int32, as graph.check proves of every model.
#include "kernels/generic/conv.hpp"

namespace qz::engine {

extern const Kernel conv_u8_generic;
constinit const Kernel conv_u8_generic{
    .run = generic::run_conv<uint8_t, int16_t, int32_t>,
    .packed_bytes = generic::packed_bytes<int16_t>,
    .pack = generic::pack<int16_t>,
};

}  // namespace qz::engine
