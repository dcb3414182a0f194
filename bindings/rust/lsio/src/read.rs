//! Bytes of objects: one range, or many of one object.

use crate::array::Array;
use crate::calls;
use crate::context::{c_string, CStrings, Context};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{deadline, no_options, Handle, Merge};
use crate::output::Output;
use crate::queue::{Queue, EVENTS};
use crate::source::{self, RangeSource};
use crate::summary::no_array;
use lsio_sys as sys;
use std::cell::Cell;
use std::future::Future;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context as Task, Poll, Wake, Waker};
use std::time::Duration;

/// Results beyond that lie in memory that LSIO makes, and uses again when they have been dropped: the
/// allocator would have the system clear each page anew. Smaller ones the allocator has at hand.
const SMALL: usize = 64 << 10;

/// Ranges of one read that are tried without a job.
const MOST_NOW: usize = 16;

impl Context {
    /// Bytes of an object: `..`, `a..`, `a..b`. Begins when it is awaited, or [waited](GetRange::wait) for.
    ///
    /// Up to 64 KiB that lie in the page cache, of a file that has not changed for some seconds, are read by the
    /// calling thread itself, in microseconds. Anything else is a job of the context's.
    ///
    /// ```
    /// # fn main() -> lsio::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a");
    /// # std::fs::write(&path, b"0123456789").unwrap();
    /// let context = lsio::Context::new()?;
    /// let bytes = context.get_range(&path, 2..5).wait()?;
    /// assert_eq!(&bytes[..], b"234");
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_range(&self, path: impl AsRef<Path>, range: impl RangeBounds<u64>) -> GetRange {
        let begin = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => Some(n.saturating_add(1)),
            Bound::Excluded(&n) => Some(n),
            Bound::Unbounded => None,
        };
        GetRange(ReadFuture(Stage::Ready(Read::new(self, path.as_ref(), 1, |add| add(begin, end)))))
    }

    /// Many ranges of one object, which may overlap and come in any order.
    ///
    /// Large results lie in memory that the context keeps when they are dropped, for the next ones. So drop, or
    /// copy, what is not needed any more; or read into a vector ([`GetRanges::output`]).
    ///
    /// ```
    /// # fn main() -> lsio::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a");
    /// # std::fs::write(&path, b"0123456789").unwrap();
    /// let context = lsio::Context::new()?;
    /// let mut memory = Vec::new();
    /// for _ in 0..10 {
    ///     let parts = context.get_ranges(&path, &[2..5, 0..1]).output(memory).wait()?;
    ///     assert_eq!((&parts[0], &parts[1]), (&b"234"[..], &b"0"[..]));
    ///     memory = parts.into_array().into_vec();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_ranges(&self, path: impl AsRef<Path>, ranges: &[Range<u64>]) -> GetRanges {
        let mut ends = Vec::with_capacity(ranges.len());
        let read = Read::new(self, path.as_ref(), ranges.len(), |add| {
            let mut at = 0usize;
            for r in ranges {
                add(r.start, Some(r.end))?;
                at = at.saturating_add((r.end - r.start) as usize);
                ends.push(at);
            }
            Ok(())
        });
        GetRanges { read: ReadFuture(Stage::Ready(read)), ends }
    }
}

/// A read that is to be done.
#[derive(Debug)]
struct Read {
    context: Context,
    source: Result<RangeSource>,
    n: usize,
    total: Option<usize>, // of bytes, where it is known
    room: Option<Vec<u8>>,
    merge: Merge,
    timeout: Option<Duration>,
}

/// A read on its way.
#[derive(Debug)]
struct Running {
    queue: Option<Queue>, // `Some` until it goes, before the job, which holds its context
    handle: Handle,
    output: Option<Arc<Output>>,
    total: Option<usize>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _guard = calls::NoWaiting::new();
        self.handle.cancel();
        self.queue.take();
    }
}

impl Read {
    /// Of n ranges at most, which `each` gives, from where to where (`None`: to the end).
    fn new(
        context: &Context,
        path: &Path,
        n: usize,
        each: impl FnOnce(&mut dyn FnMut(u64, Option<u64>) -> Result<()>) -> Result<()>,
    ) -> Self {
        let (mut offset, mut length) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut total = Some(0usize);
        let given = each(&mut |begin, end| {
            let bytes = match end {
                Some(end) if end < begin => {
                    return Err(Error::usage(format!("the range {begin}..{end} ends before it starts")))
                }
                Some(end) => i64::try_from(end - begin).ok(),
                None => Some(-1),
            };
            let (Ok(begin), Some(bytes)) = (i64::try_from(begin), bytes) else {
                let beyond = end.unwrap_or(0).max(begin);
                return Err(Error::usage(format!("{beyond} is beyond the end of any object")));
            };
            offset.push(begin);
            length.push(bytes);
            total = total.and_then(|t| t.checked_add(usize::try_from(bytes).ok()?));
            Ok(())
        });
        let source = given.map(|()| source::ranges(path, [], offset, length));
        Read { context: context.clone(), source, n, total, room: None, merge: Merge::Auto, timeout: None }
    }

    /// Where it goes: `None` leaves that to LSIO.
    fn output(&mut self) -> Result<Option<Arc<Output>>> {
        match (self.room.take(), self.total) {
            (Some(v), Some(n)) => Output::room(v, n).map(|o| Some(Arc::new(o))),
            (None, Some(n)) if n <= SMALL => Output::room(Vec::new(), n).map(|o| Some(Arc::new(o))),
            _ => Ok(None),
        }
    }

    /// What is small and needs no waiting is read by this thread, which takes less time than to tell others of it.
    fn now(&mut self) -> Option<Array> {
        if self.total.is_some_and(|n| n > SMALL) || self.n > MOST_NOW {
            return None;
        }
        let (path, offset, length) = self.source.as_ref().ok()?.of_one()?;
        let path = c_string(path).ok()?;
        let mut room = self.room.take().unwrap_or_default();
        room.clear();
        let n = self.total.unwrap_or(SMALL);
        room.try_reserve_exact(n).ok()?;
        // SAFETY: the arrays have so many numbers, the vector so much room, of which so many bytes are written.
        let got = unsafe {
            let got = sys::lsio_read_now(
                self.context.raw(),
                path.as_ptr(),
                offset.as_ptr(),
                length.as_ptr(),
                offset.len(),
                room.as_mut_ptr().cast(),
                n,
            );
            room.set_len(usize::try_from(got).unwrap_or(0));
            got
        };
        if got >= 0 {
            if self.total.is_none() {
                room.shrink_to_fit();
            }
            return Some(Array::of_bytes(room));
        }
        self.room = self.total.is_some().then_some(room);
        None
    }

    fn start(mut self, queue: Queue) -> Result<Running> {
        let request = self.source.as_ref().map_err(Clone::clone)?.request()?;
        let output = self.output()?;
        let words = self.merge.word().map(|w| format!("merge={w}"));
        let limit = self.timeout.and_then(deadline).map(|w| format!("deadline={w}"));
        let settings = CStrings::new(words.into_iter().chain(limit))?;
        let mut options = no_options();
        // By variables such as LSIO_LIMIT it could end well without having filled the output.
        options.flags = sys::LSIO_JOB_NO_STATE | sys::LSIO_JOB_NO_ENV;
        options.request = request.raw();
        options.queue = queue.raw();
        (options.settings, options.n_settings) = (settings.pointers(), settings.len());
        if let Some(output) = &output {
            options.output = output.pointer();
            options.output_length = output.bytes();
            options.output_release = Some(Output::release);
            options.output_user = Arc::into_raw(Arc::clone(output)).cast_mut().cast();
        }
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: what the options point to lives until the call returns; the output's reference is C's.
        unsafe {
            match sys::lsio_submit(self.context.raw(), &options, &mut raw, &mut error) {
                0 => Ok(Running {
                    queue: Some(queue),
                    handle: Handle::from_c(raw, self.context),
                    output,
                    total: self.total,
                }),
                code => Err(Error::take(error, code)),
            }
        }
    }

    /// On its way, for a task.
    fn begin(self, waker: &Waker) -> Result<Running> {
        let queue = Queue::new(&self.context)?;
        queue.register(waker);
        self.start(queue)
    }
}

/// Wakes a thread: by memory of its own, as what `park` knows may belong to who called.
#[derive(Debug, Default)]
struct Signal {
    woken: Mutex<bool>,
    wakes: Condvar,
}

impl Signal {
    fn wait(&self) {
        let mut woken = self.woken.lock().unwrap_or_else(|e| e.into_inner());
        while !std::mem::take(&mut *woken) {
            woken = self.wakes.wait(woken).unwrap_or_else(|e| e.into_inner());
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap_or_else(|e| e.into_inner()) = true;
        self.wakes.notify_one();
    }
}

impl Running {
    /// What was read, when the job has ended.
    fn end(mut self) -> Result<Array> {
        // SAFETY: it has ended, and this is the only one that asks.
        unsafe {
            self.handle.end()?;
            if let Some(output) = self.output.take() {
                return Ok(Array::of_bytes(Output::into_vec::<u8>(output)?));
            }
            let mut array = no_array();
            match sys::lsio_job_take_output(self.handle.raw(), &mut array) {
                0 => {}
                code => return Err(Error::take(ptr::null_mut(), code)),
            }
            let array = Array::from_c(array);
            match self.total {
                Some(n) if n != array.len() => {
                    Err(Error::new(ErrorKind::Bug, format!("{} bytes came, not {n}", array.len())))
                }
                _ => Ok(array),
            }
        }
    }

    /// Whether the end is told in the queue.
    fn has_ended(&mut self) -> Result<bool> {
        let Some(queue) = &mut self.queue else { return Ok(false) };
        // SAFETY: zeros are no event; a plain read into memory has no blocks.
        let mut events: [sys::lsio_event; EVENTS] = unsafe { std::mem::zeroed() };
        let n = unsafe { queue.take(&mut events, 0) };
        if n < 0 {
            // SAFETY: there is no error to free.
            return Err(unsafe { Error::take(ptr::null_mut(), n) });
        }
        Ok(events[..n as usize].iter().any(|e| e.kind == sys::LSIO_EVENT_DONE))
    }
}

/// Now and then, so that a task whose reads never have to wait lets others of its executor go on.
fn gives_way(task: &Task<'_>) -> bool {
    thread_local!(static READS: Cell<u32> = const { Cell::new(0) });
    let n = READS.get() + 1;
    READS.set(n % 64);
    if n == 64 {
        task.waker().wake_by_ref();
    }
    n == 64
}

#[derive(Debug)]
struct ReadFuture(Stage);

#[derive(Debug)]
enum Stage {
    Ready(Read),
    Running(Running),
    Done,
}

impl Future for ReadFuture {
    type Output = Result<Array>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<Array>> {
        if matches!(self.0, Stage::Ready(_)) {
            let Stage::Ready(mut read) = std::mem::replace(&mut self.0, Stage::Done) else { unreachable!() };
            if read.n == 0 {
                let mut nothing = read.room.take().unwrap_or_default();
                nothing.clear();
                return Poll::Ready(Ok(Array::of_bytes(nothing)));
            }
            if gives_way(task) {
                self.0 = Stage::Ready(read);
                return Poll::Pending;
            }
            if let Some(array) = read.now() {
                return Poll::Ready(Ok(array));
            }
            match read.begin(task.waker()) {
                Ok(running) => self.0 = Stage::Running(running),
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        let Stage::Running(running) = &mut self.0 else { panic!("polled once more after its end") };
        if let Some(queue) = &running.queue {
            queue.register(task.waker());
        }
        let ended = running.has_ended();
        if matches!(ended, Ok(false)) {
            return Poll::Pending;
        }
        let Stage::Running(running) = std::mem::replace(&mut self.0, Stage::Done) else { unreachable!() };
        Poll::Ready(ended.and_then(|_| running.end()))
    }
}

impl ReadFuture {
    /// What is to be read, before it has begun.
    fn set(mut self, change: impl FnOnce(&mut Read)) -> Self {
        if let Stage::Ready(read) = &mut self.0 {
            change(read);
        }
        self
    }

    /// By the queue's `notify`, as a task: a wait within LSIO would plan the read on this thread, and is served
    /// later where other programs want the CPUs.
    fn wait(mut self) -> Result<Array> {
        calls::check_wait()?;
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        let mut task = Task::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut task) {
                return result;
            }
            signal.wait();
        }
    }
}

/// A range of an object that is to be read: made by [`Context::get_range`]. A future of its bytes, which begins
/// with its first poll; dropped, it cancels the read.
#[derive(Debug)]
#[must_use = "it begins when it is awaited, or by `wait`"]
pub struct GetRange(ReadFuture);

impl GetRange {
    /// How long it may take.
    pub fn timeout(self, time: Duration) -> Self {
        GetRange(self.0.set(|read| read.timeout = Some(time)))
    }

    /// Reads, and waits for it on this thread. Not in a closure of a job's, which is an error.
    pub fn wait(self) -> Result<Array> {
        self.0.wait()
    }
}

impl Future for GetRange {
    type Output = Result<Array>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<Array>> {
        Pin::new(&mut self.0).poll(task)
    }
}

/// Ranges of an object that are to be read: made by [`Context::get_ranges`]. A future of their bytes, which
/// begins with its first poll; dropped, it cancels the read.
#[derive(Debug)]
#[must_use = "it begins when it is awaited, or by `wait`"]
pub struct GetRanges {
    read: ReadFuture,
    ends: Vec<usize>,
}

impl GetRanges {
    /// How long it may take.
    pub fn timeout(self, time: Duration) -> Self {
        GetRanges { read: self.read.set(|read| read.timeout = Some(time)), ..self }
    }

    /// Into the memory of this vector, as far as that is large enough; what stands in it goes.
    /// [`into_array`](Ranges::into_array)`().`[`into_vec`](Array::into_vec)`()` gives it back. If the read
    /// fails or is dropped, the vector is gone.
    pub fn output(self, v: Vec<u8>) -> Self {
        GetRanges { read: self.read.set(|read| read.room = Some(v)), ..self }
    }

    /// Which gaps between ranges are read through.
    pub fn merge_reads(self, what: Merge) -> Self {
        GetRanges { read: self.read.set(|read| read.merge = what), ..self }
    }

    /// Reads, and waits for it on this thread. Not in a closure of a job's, which is an error.
    pub fn wait(self) -> Result<Ranges> {
        Ok(Ranges { data: self.read.wait()?, ends: self.ends })
    }
}

impl Future for GetRanges {
    type Output = Result<Ranges>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<Ranges>> {
        let data = std::task::ready!(Pin::new(&mut self.read).poll(task))?;
        Poll::Ready(Ok(Ranges { data, ends: std::mem::take(&mut self.ends) }))
    }
}

/// Ranges of an object, one behind the other, in the order in which they were asked for.
#[derive(Debug)]
pub struct Ranges {
    data: Array,
    ends: Vec<usize>,
}

impl Ranges {
    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of range `i`.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let end = *self.ends.get(i)?;
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        Some(&self.data[begin..end])
    }

    /// The ranges, one after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        (0..self.len()).map(|i| self.get(i).unwrap_or(&[]))
    }

    /// All of them as one.
    pub fn into_array(self) -> Array {
        self.data
    }

    /// Each as [`Bytes`](bytes::Bytes), without a copy: each keeps all of them.
    #[cfg(feature = "bytes")]
    pub fn into_bytes(self) -> Vec<bytes::Bytes> {
        let all = self.data.into_bytes();
        let mut begin = 0;
        let cut = |&end: &usize| all.slice(std::mem::replace(&mut begin, end)..end);
        self.ends.iter().map(cut).collect()
    }
}

impl std::ops::Index<usize> for Ranges {
    type Output = [u8];

    fn index(&self, i: usize) -> &[u8] {
        self.get(i).expect("there is no such range")
    }
}
