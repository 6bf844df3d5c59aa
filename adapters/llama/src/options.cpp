#include "options.hpp"

#include "error.hpp"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>
#include <vector>

namespace contrib_llama {

const char *const USAGE =
    "contrib-explain MODEL.gguf \"PROMPT\" [OPTIONS]\n"
    "\n"
    "Reads a prompt with a model of llama.cpp's, and shows which tokens and layers its prediction came from.\n"
    "\n"
    "  --target N         what the model makes of token N (from 0) is explained, not of the last one\n"
    "  --threshold T      only contributions greater than T (0.04)\n"
    "  --renormalise R    contributions up to R are left out first, and the others divided by what is left\n"
    "  --generate N       generates N tokens, and explains each as it comes\n"
    "  --check N          whether it holds: hides the N strongest tokens, and says what becomes of the prediction\n"
    "  --html FILE        a page to explore the routes\n"
    "  --json FILE        the routes as JSON\n"
    "  --record FILE      everything that routes are calculated from, as a safetensors file\n"
    "  --threads N        the engine's threads, and ours (all processors)\n"
    "  --ctx N            the size of the context in tokens (as many as are needed)\n"
    "  --ubatch N         tokens that the engine reads at once (512)\n"
    "  --flash on|off     flash attention (the engine chooses)\n"
    "  --cache f16|f32    the type of the cache of keys and values (f16)\n"
    "  --help\n";

namespace {

double number(const std::string &name, const std::string &text) {
    char *end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !std::isfinite(value)) {
        throw Error(name + ": expected a number, got \"" + text + "\"");
    }
    return value;
}

size_t count(const std::string &name, const std::string &text, size_t least) {
    const double value = number(name, text);
    if (value < static_cast<double>(least) || value > 1e9 || value != std::floor(value)) {
        throw Error(name + ": expected a whole number from " + std::to_string(least) + ", got \"" + text + "\"");
    }
    return static_cast<size_t>(value);
}

template <typename T>
T choice(const std::string &name, const std::string &text, const std::map<std::string, T> &choices) {
    const auto found = choices.find(text);
    if (found != choices.end()) {
        return found->second;
    }
    std::string all;
    for (const auto &each : choices) {
        all += (all.empty() ? "" : " or ") + each.first;
    }
    throw Error(name + ": expected " + all + ", got \"" + text + "\"");
}

}  // namespace

Options parse_options(int argc, char **argv) {
    Options options;
    options.n_threads = static_cast<int>(std::thread::hardware_concurrency());
    using Set = std::function<void(const std::string &, const std::string &)>;
    const std::map<std::string, Set> setters{
        {"--target", [&](auto &name, auto &text) { options.target = count(name, text, 0); }},
        {"--threshold", [&](auto &name, auto &text) { options.threshold = number(name, text); }},
        {"--renormalise", [&](auto &name, auto &text) { options.renormalise = number(name, text); }},
        {"--generate", [&](auto &name, auto &text) { options.n_generate = count(name, text, 0); }},
        {"--check", [&](auto &name, auto &text) { options.n_check = count(name, text, 1); }},
        {"--html", [&](auto &, auto &text) { options.html = text; }},
        {"--json", [&](auto &, auto &text) { options.json = text; }},
        {"--record", [&](auto &, auto &text) { options.record = text; }},
        {"--threads", [&](auto &name, auto &text) { options.n_threads = static_cast<int>(count(name, text, 1)); }},
        {"--ctx", [&](auto &name, auto &text) { options.n_ctx = count(name, text, 1); }},
        {"--ubatch", [&](auto &name, auto &text) { options.n_ubatch = static_cast<int>(count(name, text, 1)); }},
        {"--flash",
         [&](auto &name, auto &text) {
             options.flash_attention = choice<llama_flash_attn_type>(
                 name, text, {{"on", LLAMA_FLASH_ATTN_TYPE_ENABLED}, {"off", LLAMA_FLASH_ATTN_TYPE_DISABLED}});
         }},
        {"--cache",
         [&](auto &name, auto &text) {
             options.cache_type = choice<ggml_type>(name, text, {{"f16", GGML_TYPE_F16}, {"f32", GGML_TYPE_F32}});
         }},
    };
    std::vector<std::string> positional;
    for (int i = 1; i < argc; i++) {
        const std::string argument = argv[i];
        const auto setter = setters.find(argument);
        if (argument == "--help" || argument == "-h") {
            options.is_help = true;
            return options;
        }
        if (setter != setters.end()) {
            if (i + 1 == argc) {
                throw Error(argument + ": needs a value");
            }
            setter->second(argument, argv[++i]);
        } else if (argument.rfind("--", 0) == 0) {
            throw Error(argument + ": no such option; --help lists them");
        } else {
            positional.push_back(argument);
        }
    }
    if (positional.size() != 2) {
        throw Error("expected a model and a prompt; --help says how");
    }
    if (!(options.threshold > 0.0 && options.threshold < 1.0)) {
        throw Error("--threshold: expected a number between 0 and 1");
    }
    if (!(options.renormalise >= 0.0 && options.renormalise < 1.0)) {
        throw Error("--renormalise: expected a number between 0 and 1");
    }
    options.model = positional[0];
    options.prompt = positional[1];
    return options;
}

}  // namespace contrib_llama
