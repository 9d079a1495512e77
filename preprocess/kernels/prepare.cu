// Rescale, resample and window in one pass: each voxel of a slab is read once or twice from the
// device's memory, each voxel of the result written once, and nothing lies between.
//
// All CUDA of this project is in this file; `preprocess/fused.py` launches it. It is plain enough
// to be compiled as C++, which the tests do where there is no GPU.

// One thread a voxel of the padded grid, columns the quickest.
//
// slab        stored values, from the first voxel of the region on; strides in values
// slope, intercept   of each slice of the region: HU = slope * stored + intercept
// first_*, weight_*  of each voxel of the grid along an axis: where its taps begin, and how much
//             each gives; `taps_*` of them, which sum to 1
// count_*     voxels of the grid; padded_* repeats the last ones behind them
// low, width  of each window, HU: `low` becomes 0 and `low + width` 1
// volume      (channels, padded) or null
// grid_hu     (count_s, count_r, count_c) or null, rounded to even
extern "C" __global__ void prepare_grid(
    const short* slab, long long stride_s, long long stride_r,
    const float* slope, const float* intercept,
    const int* first_s, const float* weight_s, int taps_s,
    const int* first_r, const float* weight_r, int taps_r,
    const int* first_c, const float* weight_c, int taps_c,
    int count_s, int count_r, int count_c,
    int padded_s, int padded_r, int padded_c,
    const float* low, const float* width, int channels,
    float* volume, short* grid_hu)
{
    const long long total = (long long)padded_s * padded_r * padded_c;
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= total) return;
    const int c = (int)(index % padded_c);
    const int r = (int)(index / padded_c % padded_r);
    const int s = (int)(index / ((long long)padded_c * padded_r));
    const int at_s = s < count_s ? s : count_s - 1;
    const int at_r = r < count_r ? r : count_r - 1;
    const int at_c = c < count_c ? c : count_c - 1;

    const float* along_s = weight_s + (long long)at_s * taps_s;
    const float* along_r = weight_r + (long long)at_r * taps_r;
    const float* along_c = weight_c + (long long)at_c * taps_c;
    const int from_s = first_s[at_s];
    const short* corner = slab + from_s * stride_s + first_r[at_r] * stride_r + first_c[at_c];
    float hu = 0.0f;
    for (int i = 0; i < taps_s; ++i) {
        if (along_s[i] == 0.0f) continue;
        float plane = 0.0f;
        for (int j = 0; j < taps_r; ++j) {
            if (along_r[j] == 0.0f) continue;
            const short* line = corner + i * stride_s + j * stride_r;
            float sum = 0.0f;
            for (int k = 0; k < taps_c; ++k) sum += along_c[k] * (float)line[k];
            plane += along_r[j] * sum;
        }
        hu += along_s[i] * (slope[from_s + i] * plane + intercept[from_s + i]);
    }

    if (grid_hu && s < count_s && r < count_r && c < count_c) {
        grid_hu[((long long)s * count_r + r) * count_c + c] = (short)rintf(hu);
    }
    if (!volume) return;
    for (int n = 0; n < channels; ++n) {
        const float high = low[n] + width[n];
        const float clipped = hu < low[n] ? low[n] : (hu > high ? high : hu);
        volume[n * total + index] = (clipped - low[n]) / width[n];
    }
}
