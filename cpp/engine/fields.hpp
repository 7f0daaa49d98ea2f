// The arguments of a step by name, as they come from Python; each operation reads its own (arguments.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/frame.hpp"

namespace qz::engine {

using Integers = std::map<std::string, std::vector<int64_t>>;
using Numbers = std::map<std::string, float>;

class Fields {
public:
    Fields(std::string step, const Integers& integers, const Numbers& numbers) : step_(std::move(step)), integers_(integers), numbers_(numbers) {}

    size_t size(const std::string& name) const;                // one size of 0 or more; Fault where it is missing
    std::vector<ptrdiff_t> list(const std::string& name) const;  // Fault where it is missing
    float number(const std::string& name, float otherwise) const;
    Place place(const std::string& name) const;                // Fault where it is missing
    Place place_or_none(const std::string& name) const;

private:
    const std::vector<int64_t>& find(const std::string& name) const;

    std::string step_;
    const Integers& integers_;
    const Numbers& numbers_;
};

}  // namespace qz::engine
