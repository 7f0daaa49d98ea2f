// Where the data of a step lies: a place is fixed when a program is made, the memory behind it only when it runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qz::engine {

enum class Space : int64_t { none = -1, arena = 0, input = 1, output = 2, constant = 3 };

// `at`: bytes from the start of the space; in `constant` the address itself, of memory that the program's owner keeps.
struct Place {
    Space space = Space::none;
    size_t at = 0;

    explicit operator bool() const noexcept { return space != Space::none; }
};

// The memory of one run. Two runs of a program at once have two frames.
struct Frame {
    std::byte* arena;
    const std::byte* input;
    std::byte* output;

    template <class T>
    const T* read(Place place) const noexcept {
        switch (place.space) {
            case Space::arena: return reinterpret_cast<const T*>(arena + place.at);
            case Space::input: return reinterpret_cast<const T*>(input + place.at);
            case Space::output: return reinterpret_cast<const T*>(output + place.at);
            case Space::constant: return reinterpret_cast<const T*>(place.at);
            case Space::none: break;
        }
        return nullptr;
    }

    template <class T>
    T* write(Place place) const noexcept {
        switch (place.space) {
            case Space::arena: return reinterpret_cast<T*>(arena + place.at);
            case Space::output: return reinterpret_cast<T*>(output + place.at);
            default: return nullptr;
        }
    }
};

// The items first <= i < last of a step, and memory that no other part uses: the step's scratch bytes, aligned to 64.
struct Part {
    size_t first, last;
    std::byte* scratch;
};

}  // namespace qz::engine
