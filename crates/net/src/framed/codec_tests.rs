use super::*;
use proptest::prelude::*;

fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"MCPB\x00\x01".to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn decode(limit: usize, bytes: &[u8]) -> Result<Vec<Frame>, CodecError> {
    pieces(limit, [bytes])
}

fn pieces<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Frame>, CodecError> {
    let mut decoder = Decoder::new(limit);
    let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
        assert!(buffer.is_empty(), "everything is taken");
    }
    Ok(frames)
}

#[test]
fn the_layout_is_that_of_the_contract() {
    let mut bytes = BytesMut::new();
    assert!(encode(Kind::Response, b"{}", &mut bytes));
    assert_eq!(&bytes[..], b"MCPB\x00\x01\x00\x02\x00\x00\x00\x02{}");
}

#[test]
fn every_type_reads_back_and_others_do_not_exist() {
    for number in 0..=20 {
        let read = decode(100, &frame(number, b"x"));
        match number {
            1..=8 => assert_eq!(read.unwrap()[0].kind as u16, number),
            _ => assert_eq!(read, Err(CodecError::Kind(number))),
        }
    }
}

#[test]
fn wt_07_what_is_no_frame_is_seen_at_its_first_wrong_byte() {
    for other in [
        &b"G"[..],
        b"\x16\x03\x01",
        b"PROXY TCP4",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"MCPC",
        b"mcpb",
    ] {
        assert_eq!(decode(100, other), Err(CodecError::Magic), "{other:?}");
    }
    for version in [0, 2, 0x0100, u16::MAX] {
        let mut bytes = frame(1, b"");
        bytes[4..6].copy_from_slice(&version.to_be_bytes());
        assert_eq!(decode(100, &bytes), Err(CodecError::Version(version)));
    }
}

#[test]
fn wt_01_a_payload_may_be_as_long_as_the_limit_and_no_byte_more() {
    assert_eq!(
        decode(100, &frame(1, &[b'x'; 100])).unwrap()[0].payload.len(),
        100
    );
    assert_eq!(
        decode(100, &frame(1, &[b'x'; 101])),
        Err(CodecError::TooLarge(101))
    );
    let header = |length: u32| {
        let mut bytes = frame(1, b"");
        bytes[8..].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    // No limit lifts that of the protocol.
    assert_eq!(decode(usize::MAX, &header(10_485_760)), Ok(vec![]));
    for length in [10_485_761, u32::MAX] {
        assert_eq!(
            decode(usize::MAX, &header(length)),
            Err(CodecError::TooLarge(length))
        );
    }
    assert!(!encode(Kind::Request, &vec![0; 10_485_761], &mut BytesMut::new()));
}

#[test]
fn wt_01_nothing_is_set_aside_for_a_promise() {
    let mut decoder = Decoder::new(MAX_PAYLOAD);
    let mut header = frame(1, b"");
    header[8..].copy_from_slice(&(MAX_PAYLOAD as u32).to_be_bytes());
    let mut bytes = BytesMut::from(&header[..]);
    assert_eq!(decoder.decode(&mut bytes), Ok(None));
    for _ in 0..1000 {
        assert_eq!(decoder.decode(&mut BytesMut::from(&b"x"[..])), Ok(None));
    }
    assert!(
        decoder.payload.capacity() <= 64 * 1024,
        "{}",
        decoder.payload.capacity()
    );
}

proptest! {
    #[test]
    fn wt_01_frames_do_not_depend_on_how_their_bytes_are_cut(
        frames in prop::collection::vec((1u16..=8, prop::collection::vec(any::<u8>(), 0..100)), 0..6),
        cuts in prop::collection::vec(0usize..700, 0..20),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let cut: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let read = pieces(1000, cut).unwrap();
        let read: Vec<_> = read.into_iter().map(|frame| (frame.kind as u16, frame.payload.to_vec())).collect();
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(1000, &bytes);
        let _ = decode(1000, &[&b"MCPB\x00\x01\x00"[..], &bytes].concat());
    }
}
