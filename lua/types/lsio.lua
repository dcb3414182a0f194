---@meta lsio
-- Types of `require "lsio"` for editors (LuaLS): put this folder into `workspace.library`.

---@class lsio
local lsio = {}
---@alias lsio.type "i8"|"u8"|"i16"|"u16"|"i32"|"u32"|"i64"|"u64"|"f32"|"f64"|string
---@alias lsio.reducer "sum"|"prod"|"min"|"max"|"band"|"bor"|"concat"|"moments"|"none"

---A typed window on memory, 0-based and checked. Dies when the transform returns.
---@class lsio.view
---@field [integer] number
---@field n integer elements
---@field type lsio.type
---@field ptr ffi.cdata* raw pointer, unchecked

---What a transform sees.
---@class lsio.chunk
---@field data lsio.view decoded elements, read-only
---@field out lsio.view what the sink gets
---@field scratch lsio.view writable, as large as data; counts against `memory` once it is asked for
---@field n integer elements
---@field bytes integer
---@field index integer 0-based in the request
---@field object integer 0-based
---@field name string of the object
---@field object_size integer bytes
---@field offset integer of the stored bytes in the object
---@field length integer stored bytes
---@field pos integer of the first element in the result; not known yet: -1, with `piece` within the chunk
---@field first boolean this is the chunk's first piece, or all of it
---@field last boolean this is the chunk's last piece, or all of it
---@field tag integer
---@field type lsio.type
---@field worker integer
---@field random fun(low?: integer, high?: integer): number seeded by the job's seed and the step

---@class lsio.source
---@class lsio.sink

---What `done` gets beside the result: the figures of `--json`, by the same names.
---@class lsio.info
---@field status "done"|"skipped"
---@field exit_code integer
---@field chunks integer
---@field chunks_failed integer
---@field chunks_missing integer of sources that are not there, with `missing = "skip"` or `"fill"`
---@field steps integer
---@field steps_failed integer
---@field steps_left integer of steps_failed: not run, for the deadline had passed
---@field at_deadline string how far the job was then, and what each worker was doing; "": it has not passed
---@field operations integer reads
---@field bytes_requested integer
---@field bytes_read integer
---@field bytes_decoded integer
---@field bytes_delivered integer
---@field bytes_copied integer of results that a program took one by one: on their way into its blocks
---@field bytes_written integer
---@field bytes_direct integer that no CPU copied
---@field bytes_gaps integer of bytes_read: between chunks that share an operation
---@field bytes_twice integer of bytes_read: read more than once, for chunks that overlap
---@field bytes_alignment integer of bytes_read: around chunks, for direct reads take whole blocks
---@field bytes_retried integer of bytes_read: again, chunk by chunk, after reads that failed
---@field wall_s number of reading and publishing
---@field cpu_s number of reading and publishing
---@field total_s number of all parts, which are the next ones
---@field start_s number the program's start and the script's loading
---@field setup_s number the script's function `setup`
---@field list_s number files listed and looked at, lists of ranges read
---@field plan_s number
---@field read_s number the workers: reading, decoding, transform, placing
---@field poll_s number from their end until the program polled for it
---@field reduce_s number what workers end with merged
---@field publish_s number the output made durable and named
---@field done_s number the script's function `done`: 0 for itself, known in `--json`
---@field peak_memory integer bytes
---@field backend string
---@field bound "device"|"decode"|"transform"|"sink"|"latency"|"consumer"
---@field error_count integer
---@field errors lsio.step_error[] those of the 100 lowest steps, in their order
---@field workers lsio.worker_info[]

---@class lsio.step_error
---@field code string
---@field kind string "not_found", "transform", ...: see core/lsio/error.h
---@field message string
---@field object string "" when it is about none
---@field offset? integer
---@field length? integer
---@field step? integer
---@field file? string of the script's line that it comes from
---@field line? integer in it
---@field os_code integer 0 when there is none

---@class lsio.worker_info
---@field steps integer
---@field wait_s number
---@field decode_s number
---@field transform_s number
---@field place_s number
---@field stalled_s number with results, until the program took others
---@field tune lsio.worker_tune

---What a worker tried, unless `--tune` or `--queue-depth` settle it; absent (in `--json` null): it need not.
---@class lsio.worker_tune
---@field lend? lsio.verdict large parts of mapped files were used where they lie, not copied
---@field stores? lsio.verdict results in memory were stored past the CPU's cache
---@field straight? lsio.verdict_watched aligned bytes were read directly to their place in memory
---@field depth? lsio.verdict_depth

---@class lsio.verdict
---@field verdict? boolean the last one; absent: the job ended before the first
---@field pinned boolean by `--tune`
---@field comparisons integer that came to a verdict
---@field cpu_ns_per_byte number[] of all work, without and with it; NaN (null in `--json`): not known

---@class lsio.verdict_watched
---@field verdict? boolean
---@field pinned boolean
---@field comparisons integer
---@field waited? number share of the time: less than 1/8, and not the device is the bound but the CPU

---@class lsio.verdict_depth
---@field verdict? integer reads that the worker may have in flight
---@field pinned boolean by `--queue-depth`
---@field comparisons integer depths that were judged
---@field ns_per_byte number[] at the last but one depth that was judged, and at the last one

---@alias lsio.default number|string|boolean|lsio.view|ffi.cdata* an array: of such a type, by a program only

---@class lsio.job_table
---@field source lsio.source|fun(params: table): lsio.source
---@field type? lsio.type of the elements; default "u8"
---@field codec? "none"|"lz4"|"lz4_block"|"zstd"|"blosc"|"gzip"|"zlib"|"auto"
---@field decoded? integer|string decoded size of a chunk, exact or a cap
---@field dictionary? string path of the dictionary that zstd frames were written with
---@field piece? integer|string size, of whole elements: the transform takes large chunks in pieces
---@field params? table<string, lsio.default|{ [1]: lsio.default|table, [2]: string? }>
---@field setup? fun(params: table): table?
---@field init? fun(state: any, worker: integer, params: table)
---@field transform? fun(chunk: lsio.chunk, state: any, params: table): number|string|table|false|nil
---@field finish? fun(state: any, params: table): any
---@field state? string|fun(params: table): table
---@field reduce? lsio.reducer|table<string, lsio.reducer>|fun(a: any, b: any): any
---@field done? fun(result: any, info: lsio.info)
---@field sink? lsio.sink|fun(params: table): lsio.sink
---@field out_max? integer elements a step may write
---@field on_error? "fail"|"skip"
---@field fill? number what stands in place of a skipped step
---@field merge? "auto"|"never"|integer|string
---@field seed? integer
---@field options? table<string, string|number>

---@param job lsio.job_table
function lsio.job(job) end

---@class lsio.source_options
---@field missing? "error"|"skip"|"fill" sources that are not there: left out, or without transform, as `fill`
---@field changing? "error"|"append" sources may grow; read is what there was when the job began
---@class lsio.file_options : lsio.source_options
---@field chunk? integer|string size of a chunk
---@field offset? integer|string where to begin in each file; negative (-4096, "-4KiB") counts from its end
---@field length? integer|string how much to take from there; default, and -1: to the end
---@field whole? boolean one chunk a file

---Names that begin with a point match only patterns that do.
---@param paths string|string[] paths, patterns: * ? [..] {a,b} **, or file:// URLs of them
---@param options? lsio.file_options
---@return lsio.source
function lsio.files(paths, options) end
---@class lsio.range_table : lsio.source_options
---@field objects? string|string[] paths or patterns, each of which stands for what it finds, sorted
---@field object? any array, 0-based
---@field offset? any array of bytes; negative counts from the end
---@field length? any array of bytes, or one size for all; -1, and without it: to the object's end
---@field tag? any array
---@field group? any array of numbers that never fall: in streams all of a group come before the next
---@field file? string CSV or .npy

---@param ranges lsio.range_table
---@return lsio.source
function lsio.ranges(ranges) end

---@class lsio.list_options : lsio.file_options
---@field nul? boolean paths end with a NUL byte (find -print0), not with a line; they may hold line ends

---All files that a list names, in its order: one path or file:// URL a line, no patterns.
---@param path string of the list; "-": standard input
---@param options? lsio.list_options
---@return lsio.source
function lsio.list(path, options) end
---Data from standard input, cut as it comes; chunk.object_size is math.huge.
---@param options? { chunk?: integer|string }
---@return lsio.source
function lsio.stdin(options) end

---@alias lsio.order "request"|"completed"
---@alias lsio.exists "error"|"replace"
---@alias lsio.durability "none"|"batch"|"each"
---@class lsio.raw_options
---@field type? lsio.type
---@field order? lsio.order
---@field exists? lsio.exists
---@field durability? lsio.durability

---@class lsio.npy_options : lsio.raw_options
---@field shape? integer[] may hold one -1

---@param path string
---@param options? lsio.npy_options
---@return lsio.sink
function lsio.npy(path, options) end
---@param path string
---@param options? lsio.raw_options
---@return lsio.sink
function lsio.raw(path, options) end
---@class lsio.memory_options
---@field type? lsio.type
---@field shape? integer[] may hold one -1

---An array in memory, for programs that submit jobs through lsio.h; not for the runner.
---@param options? lsio.memory_options
---@return lsio.sink
function lsio.memory(options) end
---To standard error, as one line, or to the program whose context has a `log`.
---@param ... any
function lsio.log(...) end
---"256KiB" to bytes.
---@param text string|number
---@return integer
function lsio.size(text) end

---@type string
lsio.version = ""
---Kernels; n = nil means all of src.
---@class lsio.k
lsio.k = {}

---A new view of n zeros that lives as long as it is referenced. Make it once, not in every step.
---@param type lsio.type
---@param n integer
---@return lsio.view
function lsio.k.array(type, n) end
---@param src lsio.view
---@param n? integer
---@return number
function lsio.k.sum(src, n) end
---@param src lsio.view
---@param n? integer
---@return ffi.cdata* int64
function lsio.k.sum_i64(src, n) end
lsio.k.min, lsio.k.max = lsio.k.sum, lsio.k.sum
---@param src lsio.view
---@param n? integer
---@return number least, number greatest
function lsio.k.minmax(src, n) end
---sum and minmax in one pass over memory.
---@param src lsio.view
---@param n? integer
---@return number sum, number least, number greatest
function lsio.k.sum_minmax(src, n) end
---sum, minmax and count_gt in one pass over memory.
---@param src lsio.view
---@param n? integer
---@param t number
---@return number sum, number least, number greatest, number above
function lsio.k.stats(src, n, t) end
---@param src lsio.view
---@param n? integer
---@param into? ffi.cdata* an lsio_moments, to which they are added
---@return number n, number mean, number m2
function lsio.k.moments(src, n, into) end
---@param src lsio.view
---@param n? integer
---@param t number
---@return number
function lsio.k.count_gt(src, n, t) end
lsio.k.count_ge, lsio.k.count_lt, lsio.k.count_le = lsio.k.count_gt, lsio.k.count_gt, lsio.k.count_gt
lsio.k.count_eq = lsio.k.count_gt
---@param src lsio.view
---@param n? integer
---@param lo number
---@param hi number
---@return number
function lsio.k.count_between(src, n, lo, hi) end
---@param src lsio.view
---@param n? integer
---@param lo number
---@param hi number
---@param bins integer
---@param counts lsio.view of f64; added to
---@return number counted
function lsio.k.histogram(src, n, lo, hi, bins, counts) end
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
---@param scale number
---@param offset number
function lsio.k.scale_offset(src, n, dst, scale, offset) end
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
function lsio.k.cast(src, n, dst) end
lsio.k.byteswap, lsio.k.copy = lsio.k.cast, lsio.k.cast
---Where the least element is, and it; the first of equal ones, or the first NaN. nil when n is 0.
---@param src lsio.view
---@param n? integer
---@return integer? index 0-based
---@return number value
function lsio.k.argmin(src, n) end
lsio.k.argmax = lsio.k.argmin
---The greatest elements, the greatest first, of equal ones the first; without NaN.
---@param src lsio.view
---@param n? integer
---@param k integer
---@param values lsio.view of src's type, at least k
---@param indices lsio.view of i64, u64 or f64, at least k
---@return integer found k, or less
function lsio.k.topk(src, n, k, values, indices) end
---dst = a + b, all of one type; integers wrap.
---@param a lsio.view
---@param n? integer
---@param dst lsio.view
---@param b lsio.view
function lsio.k.add(a, n, dst, b) end
lsio.k.sub, lsio.k.mul = lsio.k.add, lsio.k.add
---dst = a / b, a and b of one type.
---@param a lsio.view
---@param n? integer
---@param dst lsio.view of f32 or f64
---@param b lsio.view
function lsio.k.div(a, n, dst, b) end
---Where src is not NaN: sums += src, counts += 1.
---@param src lsio.view
---@param n? integer
---@param sums lsio.view of f64
---@param counts lsio.view of f64
---@return number valid
function lsio.k.add_valid(src, n, sums, counts) end
---A mask: dst[i] = src[i] > t ? 1 : 0. NaN gives 0 (with ne 1).
---@param src lsio.view
---@param n? integer
---@param dst lsio.view of u8
---@param t number|lsio.view a view of src's type is compared element by element
function lsio.k.gt(src, n, dst, t) end
lsio.k.ge, lsio.k.lt, lsio.k.le, lsio.k.eq, lsio.k.ne = lsio.k.gt, lsio.k.gt, lsio.k.gt, lsio.k.gt, lsio.k.gt
---A mask: lo <= src[i] <= hi
---@param src lsio.view
---@param n? integer
---@param dst lsio.view of u8
---@param lo number
---@param hi number
function lsio.k.between(src, n, dst, lo, hi) end
---How many of a mask are true (not 0).
---@param mask lsio.view of u8
---@param n? integer
---@return number
function lsio.k.count(mask, n) end
---Of two masks; what is not 0 is true, the result is 0 or 1.
---@param a lsio.view of u8
---@param n? integer
---@param dst lsio.view of u8
---@param b lsio.view of u8
function lsio.k.band(a, n, dst, b) end
lsio.k.bor = lsio.k.band
---@param src lsio.view of u8
---@param n? integer
---@param dst lsio.view of u8
function lsio.k.bnot(src, n, dst) end
---dst[i] = mask[i] is true ? a[i] : b[i]. A number becomes an element of dst's type as with cast.
---@param mask lsio.view of u8
---@param n? integer
---@param dst lsio.view
---@param a number|lsio.view of dst's type
---@param b number|lsio.view of dst's type
function lsio.k.where(mask, n, dst, a, b) end
---sums[keys[i]] += values[i], in order.
---@param values lsio.view
---@param n? integer
---@param keys lsio.view of an integer type
---@param groups integer keys are 0 to groups - 1
---@param sums lsio.view of f64; added to
---@return number outside keys that are no group and were left out
function lsio.k.group_sum(values, n, keys, groups, sums) end
---counts[keys[i]] += 1
---@param keys lsio.view of an integer type
---@param n? integer
---@param groups integer
---@param counts lsio.view of f64; added to
---@return number outside
function lsio.k.group_count(keys, n, groups, counts) end
---dst[0] = src[0], dst[i] = src[i] - src[i - 1]; undelta takes it back.
---@param src lsio.view
---@param n? integer
---@param dst lsio.view of src's type
function lsio.k.delta(src, n, dst) end
lsio.k.undelta = lsio.k.delta
---src has the shape (rows, cols), dst gets (cols, rows).
---@param src lsio.view
---@param rows integer
---@param cols integer
---@param dst lsio.view of src's type; not src
function lsio.k.transpose(src, rows, cols, dst) end
---The first bytes of all items, then the second ones, ...; as blosc does it. unshuffle takes it back.
---@param src lsio.view
---@param n? integer
---@param dst lsio.view not src
---@param item? integer bytes of an item; default: of an element of src (unshuffle: of dst)
function lsio.k.shuffle(src, n, dst, item) end
lsio.k.unshuffle = lsio.k.shuffle
---A box of elements from one array into another. Strides count elements; nil: row by row without gaps.
---@param src lsio.view
---@param shape integer[] up to 8
---@param dst lsio.view of src's type; not src
---@param src_strides? integer[]
---@param dst_strides? integer[]
---@param src_at? integer index of the first element, default 0
---@param dst_at? integer
function lsio.k.copy_strided(src, shape, dst, src_strides, dst_strides, src_at, dst_at) end
---dst = src backwards.
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
function lsio.k.flip(src, n, dst) end
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
---@param lo number
---@param hi number
function lsio.k.clip(src, n, dst, lo, hi) end
---@param dst lsio.view
---@param n? integer
---@param value number
function lsio.k.fill(dst, n, value) end
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
---@param sentinel number
---@param value number
---@return number replaced
function lsio.k.fill_sentinel(src, n, dst, sentinel, value) end
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
---@param value number
---@return number replaced
function lsio.k.fill_nan(src, n, dst, value) end
---@param src lsio.view
---@param n? integer
---@param needle string
---@param from? integer
---@return integer? position 0-based
function lsio.k.find(src, n, needle, from) end
---@param src lsio.view
---@param n? integer
---@param needle string
---@return number
function lsio.k.count_bytes(src, n, needle) end
---@param src lsio.view
---@param n? integer
---@param crc? number the result of the call before
---@return number
function lsio.k.crc32c(src, n, crc) end

---Of the n elements' bytes, XXH3 of 64 bits with seed 0.
---@param src lsio.view
---@param n? integer
---@param dst? lsio.view of u64: gets the number
---@return string? digits 16 hexadecimal ones, without dst
function lsio.k.xxh3_64(src, n, dst) end
---Of the n elements' bytes.
---@param src lsio.view
---@param n? integer
---@param dst? lsio.view of u8: gets the 32 bytes
---@return string? digits 64 hexadecimal ones, without dst
function lsio.k.sha256(src, n, dst) end
---A hash that grows.
---@class lsio.sha256
local sha256 = {}
---@param src lsio.view
---@param n? integer
function sha256:update(src, n) end
---Of what was added so far; more may follow.
---@return string digits 64 hexadecimal ones
function sha256:hex() end
---@param dst lsio.view of u8: gets the 32 bytes
function sha256:bytes(dst) end
---Empty again, in the same memory.
function sha256:reset() end
---@return lsio.sha256
function lsio.k.sha256_begin() end
---@class lsio.codec decoders; each returns the bytes it wrote, never more than dst holds
lsio.codec = {}
---@param src lsio.view
---@param n? integer
---@param dst lsio.view
---@return integer bytes
function lsio.codec.lz4(src, n, dst) end
local c, d = lsio.codec, lsio.codec.lz4
c.lz4_block, c.zstd, c.blosc, c.gzip, c.zlib, c.auto = d, d, d, d, d, d
return lsio
