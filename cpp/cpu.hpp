// What this CPU and its operating system offer, asked once.
#pragma once

namespace qz {

struct CpuFeatures {
    bool sse4_2 = false, avx2 = false, fma = false;
    bool avx512f = false, avx512bw = false, avx512vl = false;
    bool avx512_vnni = false, avx512_vbmi = false, avx512_vpopcntdq = false, avx512_bf16 = false;
    bool amx_int8 = false, amx_bf16 = false;
    bool neon = false;
};

// A feature counts only where the operating system saves its registers as well. All false where nothing is known.
const CpuFeatures& cpu_features() noexcept;

}  // namespace qz
