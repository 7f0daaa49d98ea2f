// The bytes of images looked up: the float32 numbers that they stand for, or at once the codes of those.
#include "engine/kernel.hpp"

namespace qz::engine {
namespace {

template <class T>
void look_up(const Table& table, const Frame& frame, Part part, T* target) noexcept {
    const size_t channels = table.channels;
    const uint8_t* const bytes = frame.read<uint8_t>(table.source);
    const T* const entries = frame.read<T>(table.table);
    for (size_t pixel = part.first; pixel < part.last; ++pixel)
        for (size_t c = 0; c < channels; ++c) target[pixel * channels + c] = entries[c * 256 + bytes[pixel * channels + c]];
}

void run(const Arguments& arguments, const Frame& frame, Part part) noexcept {
    const Table& table = *std::get_if<Table>(&arguments);
    if (table.codes) look_up(table, frame, part, frame.write<uint8_t>(table.codes));
    if (table.values) look_up(table, frame, part, frame.write<float>(table.values));
}

}  // namespace

extern const Kernel table_u8_generic;
constinit const Kernel table_u8_generic{.run = run};

}  // namespace qz::engine
