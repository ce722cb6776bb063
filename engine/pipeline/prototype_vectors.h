// From a class's cells to its vectors: means and parts (OVDiff section 3.2).
#ifndef OVDIFF_ENGINE_PIPELINE_PROTOTYPE_VECTORS_H_
#define OVDIFF_ENGINE_PIPELINE_PROTOTYPE_VECTORS_H_

#include "engine/base/prototype_set.h"
#include "engine/ops/kmeans.h"
#include "engine/pipeline/support_cells.h"

namespace ovdiff::engine {

// Both run on the device thread and throw what torch throws.

// The class mean, and one mean per picture that has cells. `cells`: not empty.
void AppendMeans(const CellRows& cells, PrototypeVectors* out);

// The centres, each with the picture of the cell nearest to it.
void AppendParts(const CellRows& cells, const KMeansResult& result,
                 PrototypeVectors* out);

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_PIPELINE_PROTOTYPE_VECTORS_H_
