#include <string>

#include "CLI/CLI.hpp"
#include "client/build_flags.h"
#include "client/cli_commands.h"
#include "gtest/gtest.h"

namespace ovdiff::client {
namespace {

v1::BuildOptions Build(const std::string& line) {
  CLI::App app;
  BuildFlags flags;
  AddBuildFlags(app, flags);
  app.parse(line);
  return ToBuildOptions(flags);
}

v1::SegmentOptions Segment(const std::string& line) {
  CLI::App app;
  SegmentFlags flags;
  AddCompareFlags(app, flags);
  app.parse(line);
  return ToSegmentOptions(flags);
}

TEST(FlagsTest, WhatNoFlagSaysIsLeftToTheServer) {
  EXPECT_EQ(Build("").DebugString(), "");
  EXPECT_EQ(Segment("").DebugString(), "");
}

TEST(FlagsTest, YesAndNoAreBothSaid) {
  EXPECT_TRUE(Build("--cut-by-attribution").cut_by_attribution());
  const v1::BuildOptions build = Build("--no-cut-by-attribution");
  EXPECT_TRUE(build.has_cut_by_attribution() && !build.cut_by_attribution());

  const v1::SegmentOptions yes = Segment("--pamr --stuff-filter-foreground");
  EXPECT_TRUE(yes.use_pamr() && yes.stuff_filter_foreground());
  const v1::SegmentOptions no =
      Segment("--no-pamr --no-stuff-filter-foreground");
  EXPECT_TRUE(no.has_use_pamr() && !no.use_pamr());
  EXPECT_TRUE(no.has_stuff_filter_foreground() &&
              !no.stuff_filter_foreground());
}

}  // namespace
}  // namespace ovdiff::client
