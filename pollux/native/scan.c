// SPDX-License-Identifier: Apache-2.0
// Scores of every key, as engine.model._scan has them, with the machine's own int8 products
// (AVX-512 VNNI): XLA's reach a tenth of what they do.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

// PIECE, EDGE, BLOCK, HEADS and WIDTH come from library.py, with what they mean.
#define LANES 16 // keys in a register
#define SIDE 8   // products in the making side by side: each takes five cycles
#define ROWS (EDGE * HEADS)
#define ROOM (LANES + PIECE)

typedef struct {
  const int8_t *digits; // [positions, heads, width]
  const float *factor;  // [positions, heads]: the scale, times what is left at the last position
  const float *left;    // [heads]: what is left of the sums before
  int64_t positions, heads, width;
} Queries;

typedef struct {
  const int8_t *keys;         // [count, width]
  const uint16_t *key_scales; // [count], float16
} Keys;

// The queries as the products take them: four entries of SIDE of them after another.
typedef struct {
  int32_t fours[ROWS / SIDE][WIDTH / 4][SIDE];
  int32_t bias[ROWS]; // keys are multiplied as if 128 more
  float factor[ROWS];
} Packed;

static void pack(const Queries *q, Packed *packed) {
  memset(packed, 0, sizeof *packed);
  for (int64_t i = 0; i < q->positions * q->heads; i++) {
    const int8_t *digits = q->digits + i * q->width;
    for (int64_t w = 0; w < q->width / 4; w++)
      memcpy(&packed->fours[i / SIDE][w][i % SIDE], digits + 4 * w, 4);
    for (int64_t w = 0; w < q->width; w++) packed->bias[i] -= 128 * digits[w];
    packed->factor[i] = q->factor[i];
  }
}

// 16 rows of 16 numbers as columns.
static void transpose(const __m512i row[16], __m512i column[16]) {
  __m512i two[16], four[16];
  for (int i = 0; i < 16; i += 2) {
    two[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    two[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    four[i] = _mm512_unpacklo_epi64(two[i], two[i + 2]);
    four[i + 1] = _mm512_unpackhi_epi64(two[i], two[i + 2]);
    four[i + 2] = _mm512_unpacklo_epi64(two[i + 1], two[i + 3]);
    four[i + 3] = _mm512_unpackhi_epi64(two[i + 1], two[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    const __m512i even = _mm512_shuffle_i32x4(four[i], four[4 + i], 0x88);
    const __m512i odd = _mm512_shuffle_i32x4(four[i], four[4 + i], 0xdd);
    const __m512i even_2 = _mm512_shuffle_i32x4(four[8 + i], four[12 + i], 0x88);
    const __m512i odd_2 = _mm512_shuffle_i32x4(four[8 + i], four[12 + i], 0xdd);
    column[i] = _mm512_shuffle_i32x4(even, even_2, 0x88);
    column[4 + i] = _mm512_shuffle_i32x4(odd, odd_2, 0x88);
    column[8 + i] = _mm512_shuffle_i32x4(even, even_2, 0xdd);
    column[12 + i] = _mm512_shuffle_i32x4(odd, odd_2, 0xdd);
  }
}

// Products of 16 keys with every position and head, scaled, to `scores` [positions, heads, ROOM].
static void score(const Packed *packed, int64_t rows, int64_t width, Keys k, float *scores) {
  __m512i turned[WIDTH / 4]; // four entries of each of 16 keys
  const __m512i more = _mm512_set1_epi8((char)0x80); // the instruction wants one side unsigned
  for (int64_t w = 0; w < width; w += 64) {
    __m512i row[16];
    for (int i = 0; i < 16; i++)
      row[i] = _mm512_xor_si512(_mm512_loadu_si512(k.keys + i * width + w), more);
    transpose(row, turned + w / 4);
  }
  const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)k.key_scales));
  for (int64_t i = 0; i < rows; i += SIDE) {
    const int32_t(*fours)[SIDE] = packed->fours[i / SIDE];
    __m512i sum[SIDE];
    for (int j = 0; j < SIDE; j++) sum[j] = _mm512_set1_epi32(packed->bias[i + j]);
    for (int64_t w = 0; w < width / 4; w++)
      for (int j = 0; j < SIDE; j++)
        sum[j] = _mm512_dpbusd_epi32(sum[j], turned[w], _mm512_set1_epi32(fours[w][j]));
    for (int j = 0; j < SIDE; j++) {
      const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[j]), scale);
      _mm512_storeu_ps(scores + (i + j) * ROOM,
                       _mm512_mul_ps(scaled, _mm512_set1_ps(packed->factor[i + j])));
    }
  }
}

// Adds to `total` [heads, stride] at `count` keys, a multiple of PIECE; maxima of valid keys to
// `best` [heads, best_stride]. `since`: tokens before a key in its part. `edge`, `edge_total`
// [heads, EDGE]: the keys before the first and their sums before.
int pollux_scan(const Queries *q, Keys k, const uint8_t *valid, const uint8_t *since, Keys edge,
                const float *edge_total, int64_t count, float *total, int64_t stride, float *best,
                int64_t best_stride, float masked) {
  const int64_t rows = q->positions * q->heads, m = q->positions;
  if (m > EDGE || q->heads > HEADS || q->width > WIDTH || q->width % 64 || count % PIECE) return 1;
  float scores[ROWS * ROOM] __attribute__((aligned(64)));
  float before[HEADS * (EDGE + PIECE)];
  Packed packed;
  pack(q, &packed);
  int8_t first[LANES * WIDTH] = {0};
  uint16_t first_scales[LANES] = {0};
  memcpy(first + (LANES - EDGE) * q->width, edge.keys, EDGE * q->width);
  memcpy(first_scales + LANES - EDGE, edge.key_scales, EDGE * sizeof(uint16_t));
  score(&packed, rows, q->width, (Keys){first, first_scales}, scores);
  for (int64_t h = 0; h < q->heads; h++)
    memcpy(before + h * (EDGE + PIECE), edge_total + h * EDGE, EDGE * sizeof(float));
  for (int64_t at = 0; at < count; at += PIECE) {
    for (int64_t i = 0; i < PIECE; i += LANES)
      score(&packed, rows, q->width,
            (Keys){k.keys + (at + i) * q->width, k.key_scales + at + i}, scores + LANES + i);
    for (int64_t h = 0; h < q->heads; h++) {
      float *old = before + h * (EDGE + PIECE), *sums = total + h * stride + at;
      memcpy(old + EDGE, sums, PIECE * sizeof(float));
      const __m512 left = _mm512_set1_ps(q->left[h]);
      __m512 high = _mm512_set1_ps(masked);
      for (int64_t i = 0; i < PIECE; i += LANES) {
        const __m128i far = _mm_loadu_si128((const __m128i *)(since + at + i));
        __m512 sum = _mm512_setzero_ps();
        for (int64_t p = m - 1; p >= 0; p--) {
          const int64_t back = m - 1 - p;
          const __mmask16 same = _mm_cmpge_epu8_mask(far, _mm_set1_epi8((char)back));
          const float *from = scores + (p * q->heads + h) * ROOM + LANES + i - back;
          sum = _mm512_mask_add_ps(sum, same, sum, _mm512_loadu_ps(from));
        }
        const __mmask16 same = _mm_cmpge_epu8_mask(far, _mm_set1_epi8((char)m));
        const __m512 earlier = _mm512_mul_ps(_mm512_loadu_ps(old + EDGE + i - m), left);
        sum = _mm512_mask_add_ps(sum, same, sum, earlier);
        _mm512_storeu_ps(sums + i, sum);
        const __m128i there = _mm_loadu_si128((const __m128i *)(valid + at + i));
        high = _mm512_mask_max_ps(high, _mm_test_epi8_mask(there, there), high, sum);
        if ((i + LANES) % BLOCK == 0) {
          best[h * best_stride + (at + i) / BLOCK] = _mm512_reduce_max_ps(high);
          high = _mm512_set1_ps(masked);
        }
      }
      memmove(old, old + PIECE, EDGE * sizeof(float));
    }
    for (int64_t i = 0; i < rows; i++)
      memcpy(scores + i * ROOM, scores + i * ROOM + PIECE, LANES * sizeof(float));
  }
  return 0;
}
