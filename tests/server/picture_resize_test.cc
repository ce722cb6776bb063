#include "server/picture_resize.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ovdiff::server {
namespace {

using ::testing::Each;

// Columns before `edge` are 200 and object, the others 100 and not.
SupportPicture Edge(int width, int height, int edge) {
  SupportPicture picture;
  picture.image = {width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    const bool is_object = i % width < edge;
    picture.mask.push_back(is_object ? 1 : 0);
    picture.image.data.insert(picture.image.data.end(), 3,
                              is_object ? 200 : 100);
  }
  return picture;
}

int64_t Objects(const SupportPicture& picture) {
  return std::count(picture.mask.begin(), picture.mask.end(), 1);
}

TEST(PictureResizeTest, SquashesImageAndMaskAlike) {
  const auto squashed = SquashPicture(Edge(40, 6, 16), 10);
  ASSERT_TRUE(squashed.ok()) << squashed.status();
  EXPECT_EQ(squashed->image.width, 10);
  EXPECT_EQ(squashed->image.height, 10);
  ASSERT_EQ(squashed->mask.size(), 100u);
  EXPECT_EQ(Objects(*squashed), 4 * 10);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(squashed->mask[i], i % 10 < 4 ? 1 : 0);
    EXPECT_EQ(squashed->image.data[3 * i], i % 10 < 4 ? 200 : 100);
  }
}

// Every second column: means, not samples.
TEST(PictureResizeTest, ShrinkingTakesMeans) {
  SupportPicture stripes = Edge(40, 40, 0);
  for (size_t i = 0; i < stripes.image.data.size(); ++i) {
    stripes.image.data[i] = i / 3 % 2 == 0 ? 0 : 200;
  }
  const auto squashed = SquashPicture(stripes, 10);
  ASSERT_TRUE(squashed.ok()) << squashed.status();
  EXPECT_THAT(squashed->image.data, Each(100));
  // Likewise where the other axis grows.
  SupportPicture wide = stripes;
  wide.image.height = 4;
  wide.image.data.resize(3 * 40 * 4);
  wide.mask.clear();
  EXPECT_THAT(SquashPicture(wide, 10)->image.data, Each(100));
}

TEST(PictureResizeTest, AThinObjectStays) {
  const auto squashed = SquashPicture(Edge(100, 100, 1), 10);
  ASSERT_TRUE(squashed.ok()) << squashed.status();
  EXPECT_EQ(Objects(*squashed), 10);
  // One that is half a pixel somewhere is only there.
  EXPECT_EQ(Objects(*SquashPicture(Edge(100, 100, 15), 10)), 20);
  EXPECT_EQ(Objects(*SquashPicture(Edge(100, 100, 14), 10)), 10);
}

TEST(PictureResizeTest, ShrinksToALongestSideAndNeverGrows) {
  const auto shrunk = ShrinkPicture(Edge(300, 20, 100), 30);
  ASSERT_TRUE(shrunk.ok()) << shrunk.status();
  EXPECT_EQ(shrunk->image.width, 30);
  EXPECT_EQ(shrunk->image.height, 2);
  EXPECT_EQ(Objects(*shrunk), 20);
  EXPECT_EQ(ShrinkPicture(Edge(3000, 2, 100), 30)->image.height, 1);
  const SupportPicture small = Edge(30, 7, 10);
  const auto same = ShrinkPicture(small, 30);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->image.data, small.image.data);
  EXPECT_EQ(same->mask, small.mask);
}

}  // namespace
}  // namespace ovdiff::server
