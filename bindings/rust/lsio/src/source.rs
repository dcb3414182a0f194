//! What a job reads.

use crate::context::{path_bytes, CStrings};
use crate::error::{Error, Result};
use crate::lua;
use crate::script::Script;
use lsio_sys as sys;
use std::ffi::{c_void, OsStr, OsString};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

/// One path, or several: what [`files`] and [`ranges`] take.
pub trait IntoPaths {
    /// As bytes.
    fn into_paths(self) -> Vec<Vec<u8>>;
}

macro_rules! one_path {
    ($($type:ty),*) => {$(
        impl IntoPaths for $type {
            fn into_paths(self) -> Vec<Vec<u8>> {
                vec![path_bytes(self.as_ref())]
            }
        }
    )*};
}
one_path!(&str, String, &String, &Path, PathBuf, &PathBuf, &OsStr, OsString);

impl<P: AsRef<Path>> IntoPaths for Vec<P> {
    fn into_paths(self) -> Vec<Vec<u8>> {
        self.as_slice().into_paths()
    }
}

impl<P: AsRef<Path>> IntoPaths for &Vec<P> {
    fn into_paths(self) -> Vec<Vec<u8>> {
        self.as_slice().into_paths()
    }
}

impl<P: AsRef<Path>> IntoPaths for &[P] {
    fn into_paths(self) -> Vec<Vec<u8>> {
        self.iter().map(|p| path_bytes(p.as_ref())).collect()
    }
}

impl<P: AsRef<Path>, const N: usize> IntoPaths for [P; N] {
    fn into_paths(self) -> Vec<Vec<u8>> {
        self.as_slice().into_paths()
    }
}

impl<P: AsRef<Path>, const N: usize> IntoPaths for &[P; N] {
    fn into_paths(self) -> Vec<Vec<u8>> {
        self.as_slice().into_paths()
    }
}

/// What a job reads: made of a [`FileSource`], a [`RangeSource`] or a [`Script`].
#[derive(Debug, Clone)]
pub struct Source(pub(crate) Kind);

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Files(FileSource),
    Ranges(RangeSource),
    Script(Script),
}

impl From<FileSource> for Source {
    fn from(s: FileSource) -> Self {
        Source(Kind::Files(s))
    }
}

impl From<RangeSource> for Source {
    fn from(s: RangeSource) -> Self {
        Source(Kind::Ranges(s))
    }
}

impl From<&Script> for Source {
    fn from(s: &Script) -> Self {
        Source(Kind::Script(s.clone()))
    }
}

impl From<Script> for Source {
    fn from(s: Script) -> Self {
        Source(Kind::Script(s))
    }
}

/// What becomes of a file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The job fails.
    Error,
    /// It is left out.
    Skip,
    /// The job's `fill` stands in its place.
    Fill,
}

/// Files, cut into chunks or whole: made by [`files`].
#[derive(Debug, Clone)]
#[must_use]
pub struct FileSource {
    paths: Vec<Vec<u8>>,
    options: Vec<(&'static str, String)>,
}

/// Files by paths and patterns (`*`, `?`, `[..]`, `{a,b}`, `**`), cut into chunks.
///
/// Chunks are of 1 MiB unless it is said otherwise, or whole files where they are compressed.
pub fn files(paths: impl IntoPaths) -> FileSource {
    FileSource { paths: paths.into_paths(), options: Vec::new() }
}

impl FileSource {
    fn option(mut self, name: &'static str, value: impl ToString) -> Self {
        self.options.push((name, value.to_string()));
        self
    }

    /// Bytes of a chunk. The last one of a file may be shorter.
    pub fn chunk(self, bytes: u64) -> Self {
        self.option("chunk", bytes)
    }

    /// Each file is one chunk.
    pub fn whole(self) -> Self {
        self.option("whole", true)
    }

    /// Where to begin in each file; a negative one counts from its end.
    pub fn offset(self, bytes: i64) -> Self {
        self.option("offset", bytes)
    }

    /// How many bytes to take of each file.
    pub fn length(self, bytes: u64) -> Self {
        self.option("length", bytes)
    }

    /// What becomes of files that are not there.
    pub fn missing(self, what: Missing) -> Self {
        let word = match what {
            Missing::Error => "\"error\"",
            Missing::Skip => "\"skip\"",
            Missing::Fill => "\"fill\"",
        };
        self.option("missing", word)
    }

    /// Files may grow while they are read: what is appended is left alone, and is no error.
    pub fn growing(self) -> Self {
        self.option("changing", "\"append\"")
    }

    /// As a job's script has it.
    pub(crate) fn text(&self) -> String {
        let paths: Vec<_> = self.paths.iter().map(|p| lua::quoted(p)).collect();
        let options: Vec<_> = self.options.iter().map(|(k, v)| format!("{k} = {v}")).collect();
        format!("lsio.files({{ {} }}, {{ {} }})", paths.join(", "), options.join(", "))
    }
}

/// Ranges of objects: made by [`ranges`].
#[derive(Debug, Clone)]
#[must_use]
pub struct RangeSource(Arc<Arrays>);

#[derive(Debug, Clone, Default)]
struct Arrays {
    paths: Vec<Vec<u8>>,
    object: Vec<u32>,
    offset: Vec<i64>,
    length: Vec<i64>,
    tag: Vec<i64>,
    group: Vec<i64>,
}

/// Ranges of objects, each a step of its own. Range `i` is of `objects[object[i]]`, begins at byte `offset[i]`
/// and has `length[i]` bytes.
///
/// A negative offset counts from the object's end, a length of -1 reaches to it. `object` may be empty: all
/// ranges are of the only object then, or each of its own. `offset` and `length` may be empty as well: 0, and to
/// the end. Vectors are not copied, slices once; a job reads the arrays where they are. The paths are no patterns.
pub fn ranges(
    objects: impl IntoPaths,
    object: impl Into<Vec<u32>>,
    offset: impl Into<Vec<i64>>,
    length: impl Into<Vec<i64>>,
) -> RangeSource {
    RangeSource(Arc::new(Arrays {
        paths: objects.into_paths(),
        object: object.into(),
        offset: offset.into(),
        length: length.into(),
        ..Default::default()
    }))
}

impl RangeSource {
    /// What results are known by, besides their step.
    pub fn tags(mut self, tag: impl Into<Vec<i64>>) -> Self {
        Arc::make_mut(&mut self.0).tag = tag.into();
        self
    }

    /// Numbers from 0 on that never fall: of a stream, all results of a group come before the next one's.
    pub fn groups(mut self, group: impl Into<Vec<i64>>) -> Self {
        Arc::make_mut(&mut self.0).group = group.into();
        self
    }

    /// Of ranges of one object: its path, their offsets and lengths.
    pub(crate) fn of_one(&self) -> Option<(&[u8], &[i64], &[i64])> {
        let a = &*self.0;
        let one = a.paths.len() == 1 && a.offset.len() == a.length.len();
        one.then(|| (&a.paths[0][..], &a.offset[..], &a.length[..]))
    }

    pub(crate) fn request(&self) -> Result<Request> {
        let a = &*self.0;
        let lengths = [a.object.len(), a.offset.len(), a.length.len(), a.tag.len(), a.group.len()];
        let n = lengths.into_iter().max().filter(|&n| n > 0).unwrap_or(a.paths.len());
        if lengths.iter().any(|&m| m != 0 && m != n) {
            return Err(Error::usage(format!(
                "arrays of ranges have one length, or none: there are {} objects, {} offsets, {} lengths, {} \
                 tags, {} groups",
                lengths[0], lengths[1], lengths[2], lengths[3], lengths[4]
            )));
        }
        let names = CStrings::new(a.paths.iter().map(Vec::as_slice))?;
        let held = Box::new((Arc::clone(&self.0), names));
        let options = sys::lsio_request_options {
            struct_size: std::mem::size_of::<sys::lsio_request_options>(),
            flags: sys::LSIO_REQUEST_BORROW,
            reserved: 0,
            objects: held.1.pointers(),
            n_objects: held.1.len(),
            n,
            object: pointer(&a.object),
            offset: pointer(&a.offset),
            length: pointer(&a.length),
            tag: pointer(&a.tag),
            release: Some(release),
            user: Box::into_raw(held).cast(),
            group: pointer(&a.group),
        };
        // SAFETY: the arrays have n elements, live until `release`, and never change.
        unsafe { Request::create(&options) }
    }
}

fn pointer<T>(v: &[T]) -> *const T {
    if v.is_empty() {
        return ptr::null();
    }
    v.as_ptr()
}

unsafe extern "C" fn release(user: *mut c_void) {
    drop(Box::from_raw(user.cast::<(Arc<Arrays>, CStrings)>()));
}

/// A request of C's.
#[derive(Debug)]
pub(crate) struct Request(*mut sys::lsio_request);

impl Request {
    /// # Safety
    /// The options are as C wants them; `release`, if there is one, is called also on failure.
    pub(crate) unsafe fn create(options: &sys::lsio_request_options) -> Result<Self> {
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        let code = sys::lsio_request_create(options, &mut raw, &mut error);
        if code != 0 {
            return Err(Error::take(error, code));
        }
        Ok(Request(raw))
    }

    pub(crate) fn raw(&self) -> *const sys::lsio_request {
        self.0
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: this reference is ours.
        unsafe { sys::lsio_request_release(self.0) };
    }
}
