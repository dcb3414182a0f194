//! Bytes of objects: one range, or many of one object.

use crate::array::Array;
use crate::calls;
use crate::context::{c_string, path_bytes, CStrings, Context};
use crate::error::{Error, Result};
use crate::job::{no_options, Handle};
use crate::output::Output;
use crate::queue::{Queue, EVENTS};
use crate::source::Request;
use crate::summary::no_array;
use lsio_sys as sys;
use std::future::{Future, IntoFuture};
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

impl Context {
    /// Bytes of an object: `..`, `a..`, `a..b`. Begins when it is awaited, or [waited](GetRange::wait) for.
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
        GetRange(Read::new(self, path.as_ref(), vec![(begin, end)]))
    }

    /// Many ranges of one object, which may overlap and come in any order.
    pub fn get_ranges(&self, path: impl AsRef<Path>, ranges: &[Range<u64>]) -> GetRanges {
        GetRanges(Read::new(self, path.as_ref(), ranges.iter().map(|r| (r.start, Some(r.end))).collect()))
    }
}

/// A read that is to be done.
#[derive(Debug, Clone)]
struct Read {
    context: Context,
    path: Vec<u8>,
    ranges: Vec<(u64, Option<u64>)>,
    timeout: Option<Duration>,
}

/// A read on its way.
#[derive(Debug)]
struct Running {
    queue: Option<Queue>, // `Some` until it goes, before the job, which holds its context
    handle: Handle,
    output: Option<Arc<Output>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _guard = calls::NoWaiting::new();
        self.handle.cancel();
        self.queue.take();
    }
}

impl Read {
    fn new(context: &Context, path: &Path, ranges: Vec<(u64, Option<u64>)>) -> Self {
        Read { context: context.clone(), path: path_bytes(path), ranges, timeout: None }
    }

    /// Offsets and lengths for C, and the sum of the lengths if all are known.
    fn arrays(&self) -> Result<(Vec<i64>, Vec<i64>, Option<usize>)> {
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        offsets.reserve_exact(self.ranges.len());
        lengths.reserve_exact(self.ranges.len());
        let mut total = Some(0usize);
        for &(begin, end) in &self.ranges {
            let length = match end {
                Some(end) if end < begin => {
                    return Err(Error::usage(format!("the range {begin}..{end} ends before it starts")))
                }
                Some(end) => i64::try_from(end - begin).ok(),
                None => Some(-1),
            };
            let (Ok(begin), Some(length)) = (i64::try_from(begin), length) else {
                return Err(Error::usage(format!("{begin} is beyond the end of any object")));
            };
            offsets.push(begin);
            lengths.push(length);
            total = total.and_then(|t| t.checked_add(usize::try_from(length).ok()?));
        }
        Ok((offsets, lengths, total))
    }

    fn request(&self, offsets: &[i64], lengths: &[i64]) -> Result<Request> {
        let path = c_string(self.path.as_slice())?;
        let objects = [path.as_ptr()];
        // SAFETY: zero is the default of all fields.
        let mut options: sys::lsio_request_options = unsafe { std::mem::zeroed() };
        options.struct_size = std::mem::size_of::<sys::lsio_request_options>();
        options.objects = objects.as_ptr();
        options.n_objects = 1;
        options.n = offsets.len();
        options.offset = offsets.as_ptr();
        options.length = lengths.as_ptr();
        // SAFETY: all is copied; the arrays have n elements.
        unsafe { Request::create(&options) }
    }

    fn start(&self, queue: Queue) -> Result<Running> {
        let (offsets, lengths, total) = self.arrays()?;
        let request = self.request(&offsets, &lengths)?;
        let output = total.map(|n| Output::room(n).map(Arc::new)).transpose()?;
        let settings =
            self.timeout.map_or_else(|| Ok(CStrings::default()), |t| CStrings::new([deadline(t)]))?;
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
                    handle: Handle::from_c(raw, self.context.clone()),
                    output,
                }),
                code => Err(Error::take(error, code)),
            }
        }
    }

    /// On its way, for a task; `None`: there is nothing to read.
    fn begin(&self, task: &Task<'_>) -> Result<Option<Running>> {
        if self.ranges.is_empty() {
            return Ok(None);
        }
        let queue = Queue::new(&self.context)?;
        queue.register(task.waker());
        self.start(queue).map(Some)
    }

    fn wait(&self) -> Result<Array> {
        if self.ranges.is_empty() {
            return Ok(Array::of_bytes(Vec::new()));
        }
        let mut running = self.start(Queue::new(&self.context)?)?;
        while !running.has_ended(-1)? {}
        running.end()
    }

    /// Where range i ends in the result.
    fn ends(&self) -> Vec<usize> {
        let mut at = 0;
        let length = |&(begin, end): &(u64, Option<u64>)| (end.unwrap_or(begin) - begin) as usize;
        self.ranges
            .iter()
            .map(|r| {
                at += length(r);
                at
            })
            .collect()
    }
}

fn deadline(t: Duration) -> String {
    format!("deadline={}ms", t.as_millis().max(1))
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
                0 => Ok(Array::from_c(array)),
                code => Err(Error::take(ptr::null_mut(), code)),
            }
        }
    }

    /// Whether the end is told in the queue.
    fn has_ended(&mut self, timeout_ms: i32) -> Result<bool> {
        let Some(queue) = &mut self.queue else { return Ok(false) };
        // SAFETY: zeros are no event; a plain read into memory has no blocks.
        let mut events: [sys::lsio_event; EVENTS] = unsafe { std::mem::zeroed() };
        let n = unsafe { queue.take(&mut events, timeout_ms) };
        if n < 0 {
            // SAFETY: there is no error to free.
            return Err(unsafe { Error::take(ptr::null_mut(), n) });
        }
        Ok(events[..n as usize].iter().any(|e| e.kind == sys::LSIO_EVENT_DONE))
    }
}

/// The bytes that a [`GetRange`] reads. Dropped, it cancels the read.
#[derive(Debug)]
pub struct ReadFuture(Stage);

#[derive(Debug)]
enum Stage {
    Ready(Read),
    Running(Running),
    Done,
}

impl Future for ReadFuture {
    type Output = Result<Array>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<Array>> {
        if let Stage::Ready(read) = &self.0 {
            match read.begin(task) {
                Ok(Some(running)) => self.0 = Stage::Running(running),
                other => {
                    self.0 = Stage::Done;
                    return Poll::Ready(other.map(|_| Array::of_bytes(Vec::new())));
                }
            }
        }
        let Stage::Running(running) = &mut self.0 else { panic!("polled once more after its end") };
        if let Some(queue) = &running.queue {
            queue.register(task.waker());
        }
        let ended = running.has_ended(0);
        if matches!(ended, Ok(false)) {
            return Poll::Pending;
        }
        let Stage::Running(running) = std::mem::replace(&mut self.0, Stage::Done) else { unreachable!() };
        Poll::Ready(ended.and_then(|_| running.end()))
    }
}

/// A range of an object that is to be read: made by [`Context::get_range`].
#[derive(Debug, Clone)]
#[must_use = "it begins when it is awaited, or by `wait`"]
pub struct GetRange(Read);

impl GetRange {
    /// How long it may take.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.0.timeout = Some(time);
        self
    }

    /// Reads, and waits for it on this thread.
    pub fn wait(self) -> Result<Array> {
        self.0.wait()
    }
}

impl IntoFuture for GetRange {
    type Output = Result<Array>;
    type IntoFuture = ReadFuture;

    fn into_future(self) -> ReadFuture {
        ReadFuture(Stage::Ready(self.0))
    }
}

/// Ranges of an object that are to be read: made by [`Context::get_ranges`].
#[derive(Debug, Clone)]
#[must_use = "it begins when it is awaited, or by `wait`"]
pub struct GetRanges(Read);

impl GetRanges {
    /// How long it may take.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.0.timeout = Some(time);
        self
    }

    /// Reads, and waits for it on this thread.
    pub fn wait(self) -> Result<Ranges> {
        let data = self.0.wait()?;
        Ok(Ranges { data, ends: self.0.ends() })
    }
}

impl IntoFuture for GetRanges {
    type Output = Result<Ranges>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Ranges>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let read = self.0;
            let data = ReadFuture(Stage::Ready(read.clone())).await?;
            Ok(Ranges { data, ends: read.ends() })
        })
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
