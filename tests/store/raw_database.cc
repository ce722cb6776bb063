#include "tests/store/raw_database.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace ovdiff::store {

RawDatabase::RawDatabase(const std::string& path) {
  std::vector<std::string> names;
  rocksdb::Status status =
      rocksdb::DB::ListColumnFamilies(rocksdb::DBOptions(), path, &names);
  EXPECT_TRUE(status.ok()) << status.ToString();
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const std::string& name : names) {
    rocksdb::ColumnFamilyOptions options;
    options.enable_blob_files = name == "proto" || name == "support";
    options.min_blob_size = 4096;
    options.blob_file_size = uint64_t{64} << 20;
    families.emplace_back(name, options);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  status =
      rocksdb::DB::Open(rocksdb::DBOptions(), path, families, &handles, &db);
  EXPECT_TRUE(status.ok()) << status.ToString();
  db_.reset(db);
  for (size_t i = 0; i < handles.size(); ++i) {
    handles_[names[i]] = handles[i];
  }
}

RawDatabase::~RawDatabase() {
  for (const auto& [name, handle] : handles_) {
    EXPECT_TRUE(db_->DestroyColumnFamilyHandle(handle).ok());
  }
}

std::string RawDatabase::Get(const std::string& table, const std::string& key) {
  std::string value;
  const rocksdb::Status status =
      db_->Get(rocksdb::ReadOptions(), handles_.at(table), key, &value);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return value;
}

void RawDatabase::Put(const std::string& table, const std::string& key,
                      const std::string& value) {
  const rocksdb::Status status =
      db_->Put(rocksdb::WriteOptions(), handles_.at(table), key, value);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

void RawDatabase::Damage(const std::string& table, const std::string& key) {
  std::string value = Get(table, key);
  ASSERT_FALSE(value.empty());
  value[value.size() / 2] ^= 0x10;
  Put(table, key, value);
}

void RawDatabase::AddTable(const std::string& table) {
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  const rocksdb::Status status =
      db_->CreateColumnFamily(rocksdb::ColumnFamilyOptions(), table, &handle);
  EXPECT_TRUE(status.ok()) << status.ToString();
  handles_[table] = handle;
}

void RawDatabase::Flush() {
  for (const auto& [name, handle] : handles_) {
    FlushTable(name);
  }
}

void RawDatabase::FlushTable(const std::string& table) {
  const rocksdb::Status status =
      db_->Flush(rocksdb::FlushOptions(), handles_.at(table));
  EXPECT_TRUE(status.ok()) << status.ToString();
}

std::vector<std::string> FilesOf(const std::string& path,
                                 absl::string_view extension) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == std::string(extension)) {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

void FlipByte(const std::string& file, size_t offset) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(stream.good()) << file;
  stream.seekg(static_cast<std::streamoff>(offset));
  const int byte = stream.get();
  ASSERT_NE(byte, EOF);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(static_cast<char>(byte ^ 0x20));
  ASSERT_TRUE(stream.good()) << file;
}

}  // namespace ovdiff::store
