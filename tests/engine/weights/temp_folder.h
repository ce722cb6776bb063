// A folder of a test's own, gone when the test is.
#ifndef OVDIFF_TESTS_ENGINE_WEIGHTS_TEMP_FOLDER_H_
#define OVDIFF_TESTS_ENGINE_WEIGHTS_TEMP_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace ovdiff::engine {

class TempFolder {
 public:
  TempFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "ovdiff_weights_XXXXXX")
            .string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string Path() const { return path_.string(); }
  std::string Path(const std::string& name) const {
    return (path_ / name).string();
  }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_TESTS_ENGINE_WEIGHTS_TEMP_FOLDER_H_
