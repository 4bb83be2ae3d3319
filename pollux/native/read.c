// SPDX-License-Identifier: Apache-2.0
// A read layer, as model.read.read_layer has it, a block of tokens at a time: what is between two
// products of matrices stays in the cache, and experts are given the rows they are to read where
// they lie. A token's numbers do not depend on which tokens are read together.

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

// MASKED, SMALL, LANES, WIDE, HEAD, WINDOW and EXPERTS come from read.py, with what they mean.
#define TALL 6   // rows of a product in the making beside WIDE columns: all sums are in registers
#define GROUP 96 // rows that go through an expert together

typedef struct {
  int64_t embed, heads, kv_heads, head, window, taps, experts, top, hidden, shared;
} Shape;

// Matrices as read.py packs them: WIDE columns after another, each as rows of WIDE.
typedef struct {
  const float *norm, *taps, *query_key_value, *query_norm, *key_norm, *out;
  const float *experts_norm, *router, *bias, *up, *down, *shared_up, *shared_down;
} Layer;

typedef struct {
  float *inputs, *mixed, *made, *earlier, *keys, *values, *scores, *seen, *mended; // of attention
  float *normed, *gates, *share, *wide, *narrow;                                   // of experts
  const float **rows, **hidden;
  int32_t *expert, *members;
} Room;

static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Bytes for `count` tokens; where `at` is given, what lies where.
static int64_t arrange(const Shape *s, int64_t count, char *at, Room *m) {
  const int64_t d = s->embed, w = s->window, span = 2 * w, f = sizeof(float);
  const int64_t columns = (s->heads + 2 * s->kv_heads) * s->head, queries = w * s->heads;
  const int64_t hidden = larger(s->hidden, s->shared), gates = (s->experts + LANES - 1) / LANES;
  const struct {
    void *where;
    int64_t bytes;
  } parts[] = {
      {&m->inputs, (w + s->taps - 1 + count) * d * f},
      {&m->mixed, w * d * f},
      {&m->made, w * columns * f},
      {&m->earlier, w * columns * f},
      {&m->keys, span * s->head * f},
      {&m->values, span * s->head * f},
      {&m->scores, queries * span * f},
      {&m->seen, queries * s->head * f},
      {&m->mended, w * d * f},
      {&m->normed, count * d * f},
      {&m->gates, GROUP * gates * LANES * f},
      {&m->share, count * s->top * f},
      {&m->wide, GROUP * 2 * hidden * f},
      {&m->narrow, GROUP * d * f},
      {&m->rows, larger(queries, GROUP) * (int64_t)sizeof(float *)},
      {&m->hidden, GROUP * (int64_t)sizeof(float *)},
      {&m->expert, count * s->top * f},
      {&m->members, count * s->top * f},
  };
  int64_t bytes = 0;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (at) *(void **)parts[i].where = at + bytes;
    bytes += (parts[i].bytes + 63) / 64 * 64;
  }
  return bytes;
}

static inline __attribute__((always_inline)) void tile(const int wide, const float *const *rows,
                                                       int64_t count, int64_t width,
                                                       const float *matrix, float *out,
                                                       int64_t stride) {
  const float *row[TALL];
  __m512 sum[TALL][WIDE / LANES];
  for (int i = 0; i < TALL; i++) row[i] = rows[i < count ? i : count - 1];
  for (int i = 0; i < TALL; i++)
    for (int j = 0; j < wide; j++) sum[i][j] = _mm512_setzero_ps();
  for (int64_t k = 0; k < width; k++) {
    __m512 column[WIDE / LANES];
    for (int j = 0; j < wide; j++) column[j] = _mm512_loadu_ps(matrix + (k * wide + j) * LANES);
    for (int i = 0; i < TALL; i++) {
      const __m512 one = _mm512_set1_ps(row[i][k]);
      for (int j = 0; j < wide; j++) sum[i][j] = _mm512_fmadd_ps(one, column[j], sum[i][j]);
    }
  }
  for (int i = 0; i < TALL && i < count; i++)
    for (int j = 0; j < wide; j++) _mm512_storeu_ps(out + i * stride + j * LANES, sum[i][j]);
}

// A tile of as many columns as are left, WIDE at most.
static void some(int64_t columns, const float *const *rows, int64_t count, int64_t width,
                 const float *matrix, float *out, int64_t stride) {
  switch (columns / LANES) {
  case 1: tile(1, rows, count, width, matrix, out, stride); break;
  case 2: tile(2, rows, count, width, matrix, out, stride); break;
  case 3: tile(3, rows, count, width, matrix, out, stride); break;
  default: tile(4, rows, count, width, matrix, out, stride);
  }
}

// `count` rows of `width` numbers each times a packed matrix, to rows of `columns`.
static void multiply(const float *const *rows, int64_t count, int64_t width, const float *matrix,
                     int64_t columns, float *out) {
  for (int64_t c = 0; c < columns; c += WIDE, matrix += WIDE * width)
    for (int64_t i = 0; i < count; i += TALL)
      some(columns - c, rows + i, count - i, width, matrix, out + i * columns + c, columns);
}

static const float **each(const float **rows, const float *first, int64_t count, int64_t stride) {
  for (int64_t i = 0; i < count; i++) rows[i] = first + i * stride;
  return rows;
}

static inline __m512 exponential(__m512 x) {
  x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(87.0f));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 5040);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(_mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f)), n);
}

static inline __m512 sigmoid(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 under = _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x)));
  const __m512 near = _mm512_rcp14_ps(under);
  return _mm512_mul_ps(near, _mm512_fnmadd_ps(under, near, _mm512_set1_ps(2.0f)));
}

static void normalise(const float *x, const float *gain, int64_t width, float *out) {
  __m512 squares = _mm512_setzero_ps();
  for (int64_t i = 0; i < width; i += LANES) {
    const __m512 v = _mm512_loadu_ps(x + i);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const __m512 by = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / width + SMALL));
  for (int64_t i = 0; i < width; i += LANES)
    _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), by),
                                            _mm512_loadu_ps(gain + i)));
}

// The gate is the first half of a row.
static void gate(const float *rows, int64_t count, int64_t width, float *out) {
  for (int64_t i = 0; i < count; i++)
    for (int64_t j = 0; j < width; j += LANES) {
      const __m512 g = _mm512_loadu_ps(rows + 2 * i * width + j);
      const __m512 linear = _mm512_loadu_ps(rows + (2 * i + 1) * width + j);
      _mm512_storeu_ps(out + i * width + j, _mm512_mul_ps(_mm512_mul_ps(g, sigmoid(g)), linear));
    }
}

// `turn` [positions, head]: cosines, then sines.
static void rotate(const float *x, const float *turn, int64_t head, float *out) {
  const int64_t half = head / 2;
  for (int64_t i = 0; i < half; i++) {
    const float a = x[i], b = x[half + i], cosine = turn[i], sine = turn[half + i];
    out[i] = a * cosine - b * sine;
    out[half + i] = b * cosine + a * sine;
  }
}

// `count` tokens from the input at `at`: queries, keys and values.
static void project(const Shape *s, const Layer *w, Room *m, const int32_t *segment, int64_t at,
                    int64_t count, float *out) {
  const int64_t d = s->embed, g = s->kv_heads, columns = (s->heads + 2 * g) * s->head;
  for (int64_t i = 0; i < count; i++) {
    const float *here = m->inputs + (at + i) * d;
    for (int64_t j = 0; j < d; j += LANES) {
      __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(here + j), _mm512_loadu_ps(w->taps + j));
      for (int64_t lag = 1; lag < s->taps; lag++)
        if (segment[at + i - lag] == segment[at + i])
          sum = _mm512_fmadd_ps(_mm512_loadu_ps(here - lag * d + j),
                                _mm512_loadu_ps(w->taps + lag * d + j), sum);
      _mm512_storeu_ps(m->mixed + i * d + j, sum);
    }
  }
  multiply(each(m->rows, m->mixed, count, d), count, d, w->query_key_value, columns, out);
  for (int64_t i = 0; i < count; i++)
    for (int64_t h = 0; h < s->heads + g; h++) {
      float *one = out + i * columns + h * s->head;
      normalise(one, h < s->heads ? w->query_norm : w->key_norm, s->head, one);
    }
}

// Scores of the token at `at` of a block become weights of the keys that it sees: no farther than a
// window, and of its own segment.
static void weigh(float *score, const int32_t *owner, int64_t at, int64_t window) {
  const int64_t from = (at + 1) / LANES * LANES, to = at + window + 1, span = 2 * window;
  const __m512i own = _mm512_set1_epi32(owner[window + at]);
  __mmask16 counts[2 * WINDOW / LANES];
  __m512 most = _mm512_set1_ps(MASKED), sum = _mm512_setzero_ps();
  for (int64_t j = from; j < to; j += LANES) {
    __mmask16 near = j + LANES <= to ? 0xffff : (1 << (to - j)) - 1;
    if (j <= at) near &= 0xffff << (at + 1 - j);
    const __mmask16 seen = _mm512_mask_cmpeq_epi32_mask(near, own, _mm512_loadu_si512(owner + j));
    most = _mm512_mask_max_ps(most, seen, most, _mm512_loadu_ps(score + j));
    counts[j / LANES] = seen;
  }
  most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
  for (int64_t j = 0; j < span; j += LANES) {
    __m512 weight = _mm512_setzero_ps();
    if (j >= from && j < to)
      weight = _mm512_maskz_mov_ps(
          counts[j / LANES], exponential(_mm512_sub_ps(_mm512_loadu_ps(score + j), most)));
    sum = _mm512_add_ps(sum, weight);
    _mm512_storeu_ps(score + j, weight);
  }
  const __m512 share = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sum));
  for (int64_t j = from; j < to; j += LANES)
    _mm512_storeu_ps(score + j, _mm512_mul_ps(_mm512_loadu_ps(score + j), share));
}

// Keys and values of two windows, as products take them.
static void lay(const Shape *s, Room *m, const float *turn, int64_t group) {
  const int64_t head = s->head, span = 2 * s->window, columns = (s->heads + 2 * s->kv_heads) * head;
  for (int64_t j = 0; j < span; j++) {
    const int64_t panel = j / WIDE * WIDE, wide = span - panel < WIDE ? span - panel : WIDE;
    const float *from = j < s->window ? m->earlier : m->made - s->window * columns;
    float turned[HEAD], *to = m->keys + panel * head + j - panel;
    from += j * columns + (s->heads + group) * head;
    rotate(from, turn + j * head, head, turned);
    for (int64_t k = 0; k < head; k++) to[k * wide] = turned[k];
    memcpy(m->values + j * head, from + s->kv_heads * head, head * sizeof(float));
  }
}

// A block whose queries, keys and values are `made`, to `seen` [window, heads, head]. `owner`: the
// segments of the window before it and of its own.
static void attend(const Shape *s, Room *m, const int32_t *owner, const float *turn) {
  const int64_t window = s->window, head = s->head, span = 2 * window;
  const int64_t columns = (s->heads + 2 * s->kv_heads) * head, many = s->heads / s->kv_heads;
  for (int64_t group = 0; group < s->kv_heads; group++) {
    lay(s, m, turn, group);
    for (int64_t i = 0; i < window * many; i++) {
      float turned[HEAD], *query = m->made + i / many * columns + (group * many + i % many) * head;
      rotate(query, turn + (window + i / many) * head, head, turned);
      memcpy(query, turned, head * sizeof(float));
      m->rows[i] = query;
    }
    multiply(m->rows, window * many, head, m->keys, span, m->scores);
    for (int64_t i = 0; i < window * many; i++)
      weigh(m->scores + i * span, owner, i / many, window);
    for (int64_t i = 0; i < window * many; i += TALL) {
      const int64_t count = window * many - i < TALL ? window * many - i : TALL;
      const int64_t from = i / many + 1, to = (i + count - 1) / many + window + 1;
      float out[TALL * HEAD];
      each(m->rows, m->scores + i * span + from, count, span);
      some(head, m->rows, count, to - from, m->values + from * head, out, head);
      for (int64_t j = i; j < i + count; j++)
        memcpy(m->seen + (j / many * s->heads + group * many + j % many) * head,
               out + (j - i) * head, head * sizeof(float));
    }
  }
}

// Which experts a token goes to, best first, and with what share.
static void choose(const Shape *s, const Layer *w, const float *gates, int32_t *expert,
                   float *share) {
  uint64_t taken = 0;
  float sum = SMALL;
  for (int64_t k = 0; k < s->top; k++) {
    int32_t best = -1;
    for (int32_t e = 0; e < s->experts; e++)
      if (!(taken >> e & 1) && (best < 0 || gates[e] + w->bias[e] > gates[best] + w->bias[best]))
        best = e;
    taken |= (uint64_t)1 << best;
    expert[k] = best;
    sum += share[k] = gates[best];
  }
  for (int64_t k = 0; k < s->top; k++) share[k] /= sum;
}

// Rows through SwiGLU to `narrow`.
static void swiglu(const float *const *rows, int64_t count, int64_t embed, int64_t hidden,
                   const float *up, const float *down, Room *m) {
  multiply(rows, count, embed, up, 2 * hidden, m->wide);
  gate(m->wide, count, hidden, m->wide);
  multiply(each(m->hidden, m->wide, count, hidden), count, hidden, down, embed, m->narrow);
}

static void add(const float *row, float share, int64_t width, float *to) {
  const __m512 by = _mm512_set1_ps(share);
  for (int64_t j = 0; j < width; j += LANES)
    _mm512_storeu_ps(to + j, _mm512_fmadd_ps(by, _mm512_loadu_ps(row + j), _mm512_loadu_ps(to + j)));
}

// Adds what the experts, the shared one first, make of `count` tokens.
static void feed(const Shape *s, const Layer *w, Room *m, int64_t count, float *x) {
  const int64_t d = s->embed, wide = (s->experts + LANES - 1) / LANES * LANES;
  for (int64_t i = 0; i < count; i++)
    normalise(x + i * d, w->experts_norm, d, m->normed + i * d);
  for (int64_t at = 0; at < count; at += GROUP) {
    const int64_t some = count - at < GROUP ? count - at : GROUP;
    const float *const *rows = each(m->rows, m->normed + at * d, some, d);
    if (s->experts) multiply(rows, some, d, w->router, wide, m->gates);
    for (int64_t i = 0; s->experts && i < some; i++) {
      float *gates = m->gates + i * wide;
      for (int64_t e = 0; e < s->experts; e += LANES)
        _mm512_storeu_ps(gates + e, sigmoid(_mm512_loadu_ps(gates + e)));
      choose(s, w, gates, m->expert + (at + i) * s->top, m->share + (at + i) * s->top);
    }
    swiglu(rows, some, d, s->shared, w->shared_up, w->shared_down, m);
    for (int64_t i = 0; i < some; i++) add(m->narrow + i * d, 1.0f, d, x + (at + i) * d);
  }
  for (int32_t e = 0; e < s->experts; e++) {
    int64_t members = 0;
    for (int64_t i = 0; i < count * s->top; i++)
      if (m->expert[i] == e) m->members[members++] = i;
    for (int64_t at = 0; at < members; at += GROUP) {
      const int64_t some = members - at < GROUP ? members - at : GROUP;
      for (int64_t i = 0; i < some; i++)
        m->rows[i] = m->normed + m->members[at + i] / s->top * d;
      swiglu(m->rows, some, d, s->hidden, w->up + e * d * 2 * s->hidden,
             w->down + e * s->hidden * d, m);
      for (int64_t i = 0; i < some; i++) {
        const int32_t copy = m->members[at + i];
        add(m->narrow + i * d, m->share[copy], d, x + copy / s->top * d);
      }
    }
  }
}

int64_t pollux_read_room(const Shape *s, int64_t count) {
  Room m;
  return arrange(s, count, NULL, &m);
}

// `count` tokens `x` of a chunk, whole windows, to `out`. `before`: the inputs of the tokens before
// the chunk, or none where those stand before `x`. `segment`: of these and of the tokens.
// `after`: the last inputs, for the next chunk, or none where nobody asks. `turn` [2 windows,
// head]: cosines, then sines.
int pollux_read_layer(const Shape *s, const Layer *w, const float *turn, const float *before,
                      const float *x, const int32_t *segment, int64_t count, char *room,
                      float *out, float *after) {
  const int64_t d = s->embed, window = s->window, earlier = window + s->taps - 1;
  if (d % LANES || s->head % LANES || window % LANES || s->hidden % LANES || s->shared % LANES ||
      s->head > HEAD || window > WINDOW || s->experts > EXPERTS || count % window)
    return 1;
  Room m;
  arrange(s, count, room, &m);
  for (int64_t i = before ? 0 : -earlier; i < count; i++)
    normalise(x + i * d, w->norm, d, m.inputs + (earlier + i) * d);
  if (before) memcpy(m.inputs, before, earlier * d * sizeof(float));
  if (after) memcpy(after, m.inputs + count * d, earlier * d * sizeof(float));
  memcpy(out, x, count * d * sizeof(float));
  project(s, w, &m, segment, earlier - window, window, m.earlier);
  for (int64_t at = 0; at < count; at += window) {
    project(s, w, &m, segment, earlier + at, window, m.made);
    attend(s, &m, segment + earlier + at - window, turn);
    const int64_t wide = s->heads * s->head;
    multiply(each(m.rows, m.seen, window, wide), window, wide, w->out, d, m.mended);
    for (int64_t i = 0; i < window; i++) add(m.mended + i * d, 1.0f, d, out + (at + i) * d);
    float *made = m.made;
    m.made = m.earlier, m.earlier = made;
  }
  feed(s, w, &m, count, out);
  return 0;
}
