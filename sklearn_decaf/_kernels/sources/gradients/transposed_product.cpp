// Products A^T B, whose depth runs over the rows of both: gradients of the weights of convolutions.
//
// A tile of ROWS x (VECTORS * LANES) sums stays in registers while the kernel runs over a block of
// the depth. The rows of both lie anywhere: they are reached through lists of pointers. Only the last
// columns of B are copied, where a vector would read too far.
//
// Every number of the result is a sum over the depth in order, block by block, whatever the tile
// that it stands in: parts of the result may be computed by themselves, with the same bits.
#include "kernels.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace decaf
{
  namespace
  {
#if defined(__AVX512F__) || defined(__aarch64__) // 32 registers
    constexpr int TILE_ROWS = 14;
#else
    constexpr int TILE_ROWS = 6;
#endif
    constexpr Index DEPTH = 192; // of a block: what a tile reads of its rows fits the cache

    // What a tile reads of a block.
    struct Block {
      float const *const *left;  // rows of the left matrix, by depth
      float const *const *right; // and of the right one
      Index first;               // number in a row of the right one
      Index depth;
      Index columns; // of the result
      bool add;      // to what is there
    };

    template <int ROWS, int VECTORS>
    void tile(Block const &block, Index channel, float *out, Index step)
    {
      Vector sums[ROWS][VECTORS] = {};
      for (Index t = 0; t < block.depth; ++t) {
        float const *left = whole(block.left[t] + channel);
        float const *right = whole(block.right[t] + block.first);
        Vector values[VECTORS];
        KERNEL_UNROLL for (int v = 0; v < VECTORS; ++v)
          values[v] = load<Vector>(right + v * LANES);
        KERNEL_UNROLL for (int row = 0; row < ROWS; ++row)
          KERNEL_UNROLL for (int v = 0; v < VECTORS; ++v)
            sums[row][v] += left[row] * values[v];
      }
      if (block.columns == VECTORS * LANES) {
        KERNEL_UNROLL for (int row = 0; row < ROWS; ++row)
          KERNEL_UNROLL for (int v = 0; v < VECTORS; ++v) {
            float *place = out + row * step + v * LANES;
            store(place, block.add ? load<Vector>(place) + sums[row][v] : sums[row][v]);
          }
        return;
      }
      float lines[ROWS][VECTORS * LANES];
      KERNEL_UNROLL for (int row = 0; row < ROWS; ++row)
        KERNEL_UNROLL for (int v = 0; v < VECTORS; ++v)
          store(lines[row] + v * LANES, sums[row][v]);
      for (int row = 0; row < ROWS; ++row) {
        float *place = out + row * step;
        for (Index column = 0; column < block.columns; ++column)
          place[column] = block.add ? place[column] + lines[row][column] : lines[row][column];
      }
    }

    using Tile = void (*)(Block const &, Index, float *, Index);

    template <int VECTORS, int... ROWS>
    constexpr std::array<Tile, TILE_ROWS> tiles(std::integer_sequence<int, ROWS...>)
    {
      return {tile<ROWS + 1, VECTORS>...};
    }

    constexpr auto HEIGHTS = std::make_integer_sequence<int, TILE_ROWS>();
    constexpr std::array<Tile, TILE_ROWS> TILES[] = {tiles<1>(HEIGHTS), tiles<2>(HEIGHTS)};

    void add_block(Index channels, Index filters, float const *const *left,
                   float const *const *right, Index depth, float *out, Index step, bool add)
    {
      alignas(64) float panel[DEPTH][2 * LANES];
      float const *copied[DEPTH];
      for (Index first = 0; first < filters;) {
        Index const vectors = filters - first > LANES ? 2 : 1;
        Index const columns = std::min(vectors * LANES, filters - first);
        Block block{left, right, first, depth, columns, add};
        if (columns < vectors * LANES) { // the last ones, filled up with zeros
          for (Index t = 0; t < depth; ++t) {
            std::copy_n(right[t] + first, columns, panel[t]);
            std::fill(panel[t] + columns, panel[t] + vectors * LANES, 0.0f);
            copied[t] = panel[t];
          }
          block.right = copied;
          block.first = 0;
        }
        // the rows of the result in tiles of about the same height
        Index const count = (channels + TILE_ROWS - 1) / TILE_ROWS;
        for (Index k = 0; k < count; ++k) {
          Index const channel = channels * k / count, end = channels * (k + 1) / count;
          TILES[vectors - 1][end - channel - 1](block, channel, out + channel * step + first, step);
        }
        first += columns;
      }
    }
  } // namespace

  // left (groups, n, h, w, c), right (groups, n, h, w, f), out (groups, c, f): sums over n, h and w
  void transposed_product(Input<5> left, Input<5> right, Output<3> out, Index accumulate)
  {
    Index const images = left.size[1], rows = left.size[2], columns = left.size[3];
    Index const channels = left.size[4], filters = right.size[4];
    // blocks of about the same depth
    Index const total = images * rows * columns, n_blocks = (total + DEPTH - 1) / DEPTH;
    Index const most = (total + n_blocks - 1) / n_blocks;
    float const *lefts[DEPTH], *rights[DEPTH];
    for (Index group = 0; group < left.size[0]; ++group) {
      bool add = accumulate != 0;
      Index depth = 0;
      auto const flush = [&] {
        add_block(channels, filters, lefts, rights, depth, out.at(group), out.step[1], add);
        add = true;
        depth = 0;
      };
      for (Index image = 0; image < images; ++image)
        for (Index y = 0; y < rows; ++y) {
          float const *a = left.at(group, image, y), *b = right.at(group, image, y);
          for (Index u = 0; u < columns; ++u) {
            lefts[depth] = a + u * left.step[3];
            rights[depth] = b + u * right.step[3];
            if (++depth == most)
              flush();
          }
        }
      if (depth > 0)
        flush();
    }
  }
} // namespace decaf
