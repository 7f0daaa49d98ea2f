#include "cpu.hpp"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#define QZ_ASK_CPUID 1
#endif

namespace qz {
namespace {

#ifdef QZ_ASK_CPUID

struct Leaf {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf ask(unsigned leaf, unsigned subleaf) noexcept {
    Leaf found;
    if (!__get_cpuid_count(leaf, subleaf, &found.eax, &found.ebx, &found.ecx, &found.edx)) return {};
    return found;
}

// XCR0: which register files the operating system saves. Only legal where cpuid reports OSXSAVE.
unsigned saved_registers() noexcept {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

constexpr bool bit(unsigned word, int position) noexcept { return (word >> position) & 1; }

// cpuid rather than __builtin_cpu_supports: compilers differ in the names they know (gcc 12 lacks some, clang others).
CpuFeatures probe() noexcept {
    CpuFeatures f;
    const Leaf basic = ask(1, 0), more = ask(7, 0), most = ask(7, 1);
    f.sse4_2 = bit(basic.ecx, 20);
    const unsigned saved = bit(basic.ecx, 27) ? saved_registers() : 0;
    const bool ymm = (saved & 0x6) == 0x6;           // SSE and AVX state
    const bool zmm = ymm && (saved & 0xe0) == 0xe0;  // opmask, upper halves, registers 16 to 31
    const bool tiles = (saved & 0x60000) == 0x60000;  // tile configuration and data
    f.avx2 = ymm && bit(more.ebx, 5);
    f.fma = ymm && bit(basic.ecx, 12);
    f.avx512f = zmm && bit(more.ebx, 16);
    f.avx512bw = zmm && bit(more.ebx, 30);
    f.avx512vl = zmm && bit(more.ebx, 31);
    f.avx512_vbmi = zmm && bit(more.ecx, 1);
    f.avx512_vnni = zmm && bit(more.ecx, 11);
    f.avx512_vpopcntdq = zmm && bit(more.ecx, 14);
    f.avx512_bf16 = zmm && bit(most.eax, 5);
    f.amx_bf16 = tiles && bit(more.edx, 22);
    f.amx_int8 = tiles && bit(more.edx, 25);
    return f;
}

#else

CpuFeatures probe() noexcept {
    CpuFeatures f;
#if defined(__aarch64__) || defined(__ARM_NEON)
    f.neon = true;  // every 64-bit ARM has it
#endif
    return f;
}

#endif

}  // namespace

const CpuFeatures& cpu_features() noexcept {
    static const CpuFeatures found = probe();
    return found;
}

}  // namespace qz
