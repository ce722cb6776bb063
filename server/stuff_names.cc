// Data. A stuff class passes the prefilter unseen, brings no background
// prototypes, and takes those of things that look like it out of play
// (method.md sections 7 and 8). To call an object stuff costs more than to call
// a region a thing, so the list is narrow. A name is here if
//
// - most of COCO-Stuff, ADE20K's panoptic split, Cityscapes and the paper's
// list
//   for Pascal Context that have it call it stuff, or it is a plain synonym;
// - and it is a mass or a surface that fills a part of a photo. Data sets also
//   file objects under stuff because nobody outlined them (pillow, table, tent,
//   house, rug, poster, towel, light, plant, paper): here those are things.
//
// With "* " where a word before it says of what sort it is ("blue sky", "brick
// wall"); without where it may make it an object ("christmas tree", "paving
// stone", "tin metal").
#include "server/stuff_names.h"

namespace ovdiff::server {
namespace {

constexpr absl::string_view kStuffNames[] = {
    // Sky and weather.
    "* sky", "cloud", "* clouds", "* fog", "* mist", "haze", "* smoke",
    "* snow", "* rain",
    // Water.
    "* water", "* sea", "* ocean", "* lake", "* river", "* waterfall", "falls",
    "* waves", "waterdrops", "* ice",
    // Ground.
    "ground", "* soil", "earth", "land", "* dirt", "* mud", "* sand",
    "* gravel", "* pebbles", "* clay", "* terrain", "* field", "* meadow",
    "* lawn", "* grass", "* moss", "* straw", "* hay", "* beach", "* desert",
    "playingfield", "* coast", "* shore",
    // Rock and relief.
    "rock", "rocks", "stone", "* cliff", "* mountain", "* mountains", "* hill",
    "* hills",
    // Plants in the mass.
    "tree", "* trees", "* forest", "* woods", "* jungle", "* vegetation",
    "* foliage", "* leaves", "bush", "* bushes", "* undergrowth", "* hedge",
    // Ways.
    "* road", "* street", "* asphalt", "* pavement", "* sidewalk", "* footpath",
    "path", "* runway", "* tarmac", "* railroad", "* railway", "track",
    "* crosswalk", "* parking lot",
    // Built surfaces.
    "* wall", "* walls", "* floor", "* flooring", "* ceiling", "* roof",
    "building", "* buildings", "fence", "* fencing", "* railing",
    "* guard rail", "platform", "* brickwork", "* bricks", "* tiles",
    "* wallpaper", "* parquet", "* carpet",
    // Materials.
    "wood", "brick", "* concrete", "* cement", "* plaster", "metal", "plastic",
    "cardboard", "cloth", "* fabric", "textile", "leather", "marble",
    "bedclothes",
    // COCO-Stuff's spellings of the above.
    "ceiling-tile", "floor-marble", "floor-stone", "floor-tile", "floor-wood",
    "wall-brick", "wall-concrete", "wall-panel", "wall-stone", "wall-tile",
    "wall-wood", "solid", "structural"};

}  // namespace

absl::Span<const absl::string_view> StuffNames() { return kStuffNames; }

}  // namespace ovdiff::server
