// The one exception of the engine's core; the binding turns it into EngineError.
#pragma once

#include <stdexcept>

namespace qz::engine {

class Fault : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace qz::engine
