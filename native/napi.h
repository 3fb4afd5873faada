// Node-API in C++: arguments to numbers, C++ exceptions to JavaScript errors. The plain C interface underneath, since an
// operation's call is a handful of numbers and wrappers cost more than the arithmetic of a small one.
#pragma once

#include <node_api.h>

#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "memory.h"

namespace grok1 {

inline void check(napi_status status, const char* what) {
  if (status != napi_ok) throw Failure("ERR_ARGUMENT", what);
}

// Runs `body`, which returns a napi_value, and turns what it throws into a pending JavaScript error.
template <class F>
napi_value guarded(napi_env env, F&& body) {
  try {
    return body();
  } catch (const Failure& failure) {
    napi_throw_error(env, failure.code, failure.what());
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, "ERR_MEMORY", "not enough memory");
  } catch (const std::exception& error) {
    napi_throw_error(env, "ERR_INTERNAL", error.what());
  }
  return nullptr;
}

template <class T>
T fromJs(napi_env env, napi_value value) {
  if constexpr (std::is_same_v<T, bool>) {
    bool result;
    check(napi_get_value_bool(env, value, &result), "expected a boolean");
    return result;
  } else if constexpr (std::is_same_v<T, int32_t>) {
    int32_t result;
    check(napi_get_value_int32(env, value, &result), "expected a number");
    return result;
  } else if constexpr (std::is_same_v<T, int64_t>) {
    int64_t result;
    check(napi_get_value_int64(env, value, &result), "expected a number");
    return result;
  } else if constexpr (std::is_same_v<T, double>) {
    double result;
    check(napi_get_value_double(env, value, &result), "expected a number");
    return result;
  } else {
    static_assert(std::is_same_v<T, std::string>);
    size_t length = 0;
    check(napi_get_value_string_utf8(env, value, nullptr, 0, &length), "expected a string");
    std::string result(length, '\0');
    check(napi_get_value_string_utf8(env, value, result.data(), length + 1, &length), "expected a string");
    return result;
  }
}

inline napi_value toJs(napi_env env, double number) {
  napi_value result;
  check(napi_create_double(env, number, &result), "no number could be made");
  return result;
}

inline napi_value toJs(napi_env env, const std::string& text) {
  napi_value result;
  check(napi_create_string_utf8(env, text.data(), text.size(), &result), "no string could be made");
  return result;
}

inline napi_value toJs(napi_env env, bool value) {
  napi_value result;
  check(napi_get_boolean(env, value, &result), "no boolean could be made");
  return result;
}

inline napi_value newObject(napi_env env) {
  napi_value result;
  check(napi_create_object(env, &result), "no object could be made");
  return result;
}

inline void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(napi_set_named_property(env, object, name, value), "a property could not be set");
}

// An ArrayBuffer on memory that `owner` keeps alive for as long as the buffer is.
template <class T>
napi_value bufferOn(napi_env env, std::shared_ptr<T> owner, const void* data, size_t bytes) {
  napi_value result;
  if (bytes == 0) {
    void* unused;
    check(napi_create_arraybuffer(env, 0, &unused, &result), "no buffer could be made");
    return result;
  }
  auto* hold = new std::shared_ptr<T>(std::move(owner));
  const napi_status status = napi_create_external_arraybuffer(
      env, const_cast<void*>(data), bytes, [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<T>*>(hint); }, hold,
      &result);
  if (status != napi_ok) {
    delete hold;
    throw Failure("ERR_MEMORY", "this runtime allows no buffers on the addon's memory");
  }
  return result;
}

// A typed array's elements, valid until the call ends.
template <class T>
std::pair<const T*, size_t> elements(napi_env env, napi_value array, napi_typedarray_type expected, const char* what) {
  napi_typedarray_type kind;
  size_t length;
  void* data;
  check(napi_get_typedarray_info(env, array, &kind, &length, &data, nullptr, nullptr), what);
  if (kind != expected) throw Failure("ERR_ARGUMENT", what);
  return {static_cast<const T*>(data), length};
}

// A JavaScript function whose native side, `state`, lives as long as the function does.
template <class T>
void setFunction(napi_env env, napi_value object, const char* name, napi_callback callback, const std::shared_ptr<T>& state) {
  napi_value function;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, state.get(), &function), "no function could be made");
  auto* hold = new std::shared_ptr<T>(state);
  const napi_status status = napi_add_finalizer(
      env, function, nullptr, [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<T>*>(hint); }, hold, nullptr);
  if (status != napi_ok) {
    delete hold;
    throw Failure("ERR_INTERNAL", "a function could not be tied to its state");
  }
  set(env, object, name, function);
}

// The arguments of a call, exactly `N` of them, and the state of its function.
template <size_t N>
struct Arguments {
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = N;
    check(napi_get_cb_info(env, info, &count, values, nullptr, &state), "no arguments");
    if (count != N) throw Failure("ERR_ARGUMENT", "expected " + std::to_string(N) + " arguments");
  }
  napi_value values[N == 0 ? 1 : N];
  void* state = nullptr;
};

}  // namespace grok1
