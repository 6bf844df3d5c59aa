#include "safetensors.hpp"

#include "error.hpp"
#include "parts.hpp"

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>

namespace contrib_llama {

namespace {

constexpr size_t ALIGNMENT = 8;

// A tensor that is still to be written.
struct Entry {
    std::string name;
    const char *dtype;
    std::vector<size_t> shape;
    size_t n_bytes;
    // Where its bytes are; null: what the rest of a layer's attention is, calculated when it is written.
    const void *bytes;
    int rest_of_layer;
};

std::string number(double value) {
    char text[40];
    std::snprintf(text, sizeof(text), "%.9g", value);
    return text;
}

template <typename T>
std::string list(const std::vector<T> &items, const std::function<std::string(const T &)> &text) {
    std::string all = "[";
    for (const T &item : items) {
        all += (all.size() > 1 ? ", " : "") + text(item);
    }
    return all + "]";
}

std::string numbers(const std::vector<float> &values) {
    return list<float>(values, [](const float &value) { return number(value); });
}

void add(std::vector<Entry> &entries, const std::string &name, const Rows &rows, size_t n, std::vector<size_t> axes) {
    axes.insert(axes.begin(), n);
    entries.push_back({name, rows.type == GGML_TYPE_F16 ? "F16" : "F32", axes, n * rows.row_bytes(), rows.bytes.data(), -1});
}

std::vector<Entry> entries_of(const Recording &recording) {
    std::vector<Entry> entries;
    const size_t n = recording.n_tokens, d_model = recording.d_model;
    for (size_t i = 0; i < recording.layers.size(); i++) {
        const LayerRecord &layer = recording.layers[i];
        const std::string suffix = "." + std::to_string(i);
        add(entries, "resid_pre" + suffix, layer.resid_pre, n, {d_model});
        if (!layer.is_parallel) {
            add(entries, "resid_mid" + suffix, layer.resid_mid, n, {d_model});
        }
        add(entries, "mlp_out" + suffix, layer.mlp_out, n, {d_model});
        add(entries, "queries" + suffix, layer.queries, n, {layer.n_heads, layer.d()});
        add(entries, "keys" + suffix, layer.keys, n, {layer.n_kv_heads, layer.d()});
        add(entries, "values" + suffix, layer.values, n, {layer.n_kv_heads, layer.d_value()});
        entries.push_back({"w_o" + suffix, "F32", {layer.n_heads, layer.d_value(), d_model}, layer.w_o.size() * sizeof(float),
                           layer.w_o.data(), -1});
        entries.push_back({"attn_bias" + suffix, "F32", {n, d_model}, n * d_model * sizeof(float), nullptr, static_cast<int>(i)});
        if (layer.inverse_rms.width) {
            add(entries, "attn_scale" + suffix, layer.inverse_rms, n, {1});
        }
        if (!layer.added_vectors.empty()) {
            entries.push_back({"mlp_bias" + suffix, "F32", {d_model}, d_model * sizeof(float), layer.added_vectors.data(), -1});
        }
    }
    add(entries, "resid_post", recording.layers.back().resid_post, n, {d_model});
    return entries;
}

std::map<std::string, std::string> metadata_of(const Recording &recording, const Texts &texts,
                                               const std::vector<int32_t> &token_ids) {
    const LayerRecord &first = recording.layers.front();
    std::vector<size_t> windows;
    std::vector<std::vector<float>> sinks;
    for (const LayerRecord &layer : recording.layers) {
        if (layer.scale != first.scale || layer.soft_cap != first.soft_cap || layer.is_parallel != first.is_parallel ||
            layer.slopes != first.slopes || layer.n_heads != first.n_heads || layer.n_kv_heads != first.n_kv_heads) {
            throw Error("layers differ in their scale, soft cap, slopes, heads or order, which no file of a recording can say");
        }
        windows.push_back(layer.window);
        sinks.push_back(layer.sinks);
    }
    std::map<std::string, std::string> metadata{
        {"model", texts.model},
        {"prompt", texts.prompt},
        {"n_layers", std::to_string(recording.layers.size())},
        {"n_heads", std::to_string(first.n_heads)},
        {"n_kv_heads", std::to_string(first.n_kv_heads)},
        {"d_model", std::to_string(recording.d_model)},
        {"d_head", std::to_string(first.d())},
        {"scale", number(first.scale)},
        {"soft_cap", number(first.soft_cap)},
        {"parallel", first.is_parallel ? "true" : "false"},
        {"window", list<size_t>(windows, [](const size_t &window) { return std::to_string(window); })},
        {"tokens", list<std::string>(texts.tokens, json_string)},
        {"token_ids", list<int32_t>(token_ids, [](const int32_t &id) { return std::to_string(id); })},
    };
    if (!first.slopes.empty()) {
        metadata["slopes"] = numbers(first.slopes);
    }
    if (!first.sinks.empty()) {
        metadata["sinks"] = list<std::vector<float>>(sinks, numbers);
    }
    using Next = std::pair<std::string, double>;
    metadata["next_tokens"] = list<Next>(texts.next_tokens, [](const Next &next) {
        return "[" + json_string(next.first) + ", " + number(next.second) + "]";
    });
    return metadata;
}

std::string header_of(const std::vector<Entry> &entries, const std::map<std::string, std::string> &metadata) {
    std::string header = "{\"__metadata__\": {";
    bool is_first = true;
    for (const auto &[key, text] : metadata) {
        header += (is_first ? "" : ", ") + json_string(key) + ": " + json_string(text);
        is_first = false;
    }
    header += "}";
    size_t begin = 0;
    for (const Entry &entry : entries) {
        header += ", " + json_string(entry.name) + ": {\"dtype\": \"" + entry.dtype + "\", \"shape\": " +
                  list<size_t>(entry.shape, [](const size_t &extent) { return std::to_string(extent); }) +
                  ", \"data_offsets\": [" + std::to_string(begin) + ", " + std::to_string(begin + entry.n_bytes) + "]}";
        begin += entry.n_bytes;
    }
    header += "}";
    header.append((ALIGNMENT - header.size() % ALIGNMENT) % ALIGNMENT, ' ');
    return header;
}

// How many bytes the UTF-8 character at `at` has, or 0 where there is none.
size_t utf8_length(const std::string &text, size_t at) {
    const unsigned char lead = text[at];
    const size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3
                          : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
    if (length == 0 || at + length > text.size()) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) {
            return 0;
        }
    }
    const unsigned char second = length > 1 ? text[at + 1] : 0;
    const bool is_overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
    const bool is_surrogate_or_more = (lead == 0xED && second >= 0xA0) || (lead == 0xF4 && second >= 0x90);
    return is_overlong || is_surrogate_or_more ? 0 : length;
}

}  // namespace

std::string json_string(const std::string &text) {
    std::string json = "\"";
    for (size_t at = 0; at < text.size();) {
        const size_t length = utf8_length(text, at);
        const unsigned char byte = text[at];
        if (length == 0) {
            json += "\xEF\xBF\xBD";
            at++;
        } else if (byte < 0x20 || byte == 0x7F) {
            char escape[8];
            std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
            json += escape;
            at++;
        } else {
            if (byte == '"' || byte == '\\') {
                json += '\\';
            }
            json.append(text, at, length);
            at += length;
        }
    }
    return json + "\"";
}

double write_safetensors(const std::string &path, const Recording &recording, const Texts &texts,
                         const std::vector<int32_t> &token_ids, size_t n_threads) {
    const std::vector<Entry> entries = entries_of(recording);
    const std::string header = header_of(entries, metadata_of(recording, texts, token_ids));
    std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    bool is_written = static_cast<bool>(file);
    const auto write = [&](const void *bytes, size_t n) {
        is_written = is_written && std::fwrite(bytes, 1, n, file.get()) == n;
    };
    unsigned char length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = static_cast<unsigned char>(static_cast<uint64_t>(header.size()) >> (8 * i));
    }
    write(length, sizeof(length));
    write(header.data(), header.size());
    double rounding = 0.0;
    std::vector<size_t> positions(recording.n_tokens);
    std::iota(positions.begin(), positions.end(), size_t{0});
    for (const Entry &entry : entries) {
        if (entry.rest_of_layer < 0) {
            write(entry.bytes, entry.n_bytes);
            continue;
        }
        const std::vector<float> rest = rest_of_attention(recording, entry.rest_of_layer, positions, n_threads);
        for (size_t position : positions) {
            const double of = rounding_at(recording, entry.rest_of_layer, position, rest.data() + position * recording.d_model);
            rounding = of > rounding ? of : rounding;
        }
        write(rest.data(), entry.n_bytes);
    }
    if (!is_written || std::fclose(file.release()) != 0) {
        std::remove(path.c_str());
        throw Error("cannot write " + path);
    }
    return rounding;
}

}  // namespace contrib_llama
