//! Numbers at their edges, signatures of OpenSSL, and encodings that are almost right.

use ::rsa::{BoxedUint, hazmat};

use super::PublicKey;
use crate::guards::identity::jwt::algorithm::{Algorithm, Hash};
use crate::guards::identity::jwt::vectors::{RSA, sign, unbase64};
use crate::testing::test;

const E: &[u8] = &[1, 0, 1];
const TEXT: &[u8] = b"header.payload";

/// The key of RFC 7515 A.2, of 2048 bits.
fn key() -> PublicKey {
    PublicKey::read(&unbase64(RSA[0]), E).unwrap()
}

/// What `openssl dgst -sign` made of [`TEXT`], with keys of `openssl prime`. Of a modulus of 2049 bits the encoded message is a byte shorter
/// than the signature; that of 2055 leaves it one bit of its first byte less than seven.
struct Vector {
    bits: usize,
    hash: Hash,
    modulus: &'static str,
    pkcs1: &'static str,
    pss: &'static str,
}

const VECTORS: [Vector; 4] = [
    Vector {
        bits: 2049,
        hash: Hash::Sha256,
        modulus: "Ad4-zER4GWs0Z3p6Urx5Pfj5eo-JKQRAfTeI6VGLM8HwrhoP6J_-vOg-jKf94nDB4IqA0SvHpPk5zzblJgWxJ6Z-HE63D2XjRNgpOxPRAlq8Qcxkn4Xr06N_LUd4gVi5xckSy1fX4YqUgjqFu7i7-y3kF2aIFosjKTutP2sosVD7tzNkKIJlcFteQ040uGHdxphWetmRkHlvdTmBRmd7dzMKuXF8ibWxePUKzzjXMrBYQqGFPp0zE6BMHQMCafBQMgX2hPqfOs9ou_8QU-7gO0V6v91TFgqX5NLjjjwtc-tOwqzLrIF_RAgvtPjlwxi0Mt5HNR9SkYvZLfn3Bgpzfs0",
        pkcs1: "AXA37oKJMqTxc6_T0r6EUfmD4chawgQRPTodDuPB9h3WvQNlrqBlBfDXCumKAvbpW1wV7nmy6S7uF7VZfaRv3Mc7kmD1PS0X96zhcw89_UCTUekEYe3XpLghx0QNFMraZRiSWLmBb_cQzTHD-fDOi9ANBI0QgIQVQp6GZbsqLES9KYiFAm3hlhSnIS3srpyi8Hkk1Q-T11oLDVJq4JWWgK15Upg_s_faHRtjU8aWAN4dG5Dmj2WSMZ72GWflrkllCic0y2rh3R3uFU9xeTwNVRHmtyfQsyUsstCwA--iUNOuH1rkujdNo6a2KQ_61s49ti_hF2EGTIB-vTzBwM7lVOM",
        pss: "ANAU4mMyQYEAeuxXxQZMBAhtpurHRh3PUZYPkWiTI5uiD7YP6ZSh08qe1PAGwLe4m_Q-hbMiJQEFrQtv-Gdy6-27lwPE6gK6UwCnWckHahmBlPuImuef-iqYIJ3Ansn6fNW0FcGcrA8hjE7FN32sfGA6RlIK1d8ZcuQ65b8NpnaCql9VZ1oXIwlfEm8l3LbsqCm00RGgAkzKCLxFJ8Nx0pZNiWMPpvbqyoPn0DYoQVzw-s7-A1cNOgwgoAAnfLiQ03fhNaAZrFP3MmjzYT2H6KVO7JA_weFkjpMmHb5XmDk1i5bQrkyl2pHmv9thaTmPr5vhvo8hy9gDfX0BVYwHxsw",
    },
    Vector {
        bits: 2055,
        hash: Hash::Sha512,
        modulus: "Xk3qo01dLSP3KMiDgKlT1oYOnTbnUfMOb9Gxx10YD0rG6CP451qbthWGzHUPVN6lKFZXkMgpUX7XV8ia_hRFJB4A1Lieknncl_dhNV4NqvE-eqRcDf2j6P6pQQ9TLgKtfXH2XvgwwdFfwIb47C7GRVraUP6poE0wgZ6qPk0rB7xdIDiELvxe-pKlNuJRNHISTzsLwK2JlYCM5ivrxlI3sQ7Br2u9nPsJF4Ct5AS738Q4kgKI6eS47XeWOwe2szRaehSqRTj4qf-wiaZEN71VrEpOgnNaQktGvGNJRWH3vo68c1NzIHGUvmi_lWlgDbVCd9kRCRSM94x3Wd_Yi86-qS8",
        pkcs1: "W8drTinvaA047yxJvaz67j83fM5jN8g-PaaXduTmvK3PubCNhV8O8UVK6Y6CMKhFxirDVWY3c7ET_XCE0ykWghIbMCSuf481nGQxaCro6Obtn7SKOIGvS-IbK3kNzoZq8FuKfZD44-likgPkvYYtUMot7ww6EgaufnE23cjNiRZ-0xBwqgUEaK4rm9ZvHmOuW9d_fKKAUDW3KyeNd0_l64pt10L1B22d62EAROyXowQIPAQ4uU5NYK9e1Ur3KHbb9Tn8IOzDt1FbuCagHV27QVq5TXrrIH62Nhz8ir6SCPbBPm5eRm3Fpwwoh-xyKHyAz3qZMmqCV-JulvamvNl03Z4",
        pss: "F9Iz_2mWnkXvLFNsmaQBGuzOppoIJ2XPkZpB1vFp1IcOfR5Tyvl0z3fxisknoV2ZxZOgBbBc_a1hIlEdqCitV31V0ZzFEwdikEJ_dQeHW_0HH0MO2Vrf55tuRz21uJadCliIWwn9EQvIWSbSjF87toUCMDOtcgMsj-JY7ICOrJKAU8TrMxpVeAa7o6eQO9Hmu7kEJkPechAntUuwQbciMt-WjSviUP2ZfzyU3E2c6WXpH_x3opSSdkbSU_Dh5IKw1mYWPw7EomOtWOsBDbFIvOlMO7DUAr8z3mJaQig-6Ty4rZxphkmJBB7tzU59yWHOyuAgTH3gdon8jXVL8e866ps",
    },
    Vector {
        bits: 3072,
        hash: Hash::Sha384,
        modulus: "lQ-BLeXqVW-puj59XCtgnfa1oZB9ewlsZ18muK_KpgpFooI6gtkbYxK3Juy9_RaAp-DOso5J35lHvhcA3lJbAzqH9xrhXgVfr9ZFYU9Z55ibmJ8L5FoJP1oeE3VljJl2mqsuNeCSfLMNZKmYDVWtALaKdjiAugoI2_YB5uL1cekZPoUsbFTBFGbtf2mWQQS_oAfjOaj59xmIiVSCfubI9ZUZD-N8na1wZ3061vzhmTh1MyY0YwpQqG-ZrQl3VJHJ_CEZ4KDw0GF8gcZaZNDuk2q1T2bfvsshwrI_SZ9G0ragJp03c2kYn6zsv_kjkIJDS73Iz96iRW09Kh-XsAMxUZmQ8j95OzrKNrK9G6RfqDaVyghgvgafizMvaiYpQuAvJWM2dqkEAmiMIg-ebVgQfJq904D_foUioFX1Jr3Y7tTgCjN6ydr3xmvryLmyLimSWTPFIC3JU8m88uR4-3DNA4Bx6rcOjj1ZkUaeejXp7WZuuivMVwgEh_WEktWn3iaJ",
        pkcs1: "bdl4f4LtMwdwtvqhHVZ5bVfABTsLTwv_ZssyDCYfU8MkI-omvHCX-SPlZiBYyD85nDOFLDlTF5TKwgEQRoB268ZvKiheN_GpU8wFMAZQAGOD3zvJM3pAU30WFS9aVCfi50lb1Uk-xAUFN4q6wcaLn5P-mtMAobocCKQNaXjUslLK8PWdzTvqw9r2iDVaoYIHftaQB92e6DOGgXa0JcpsEPeEVVdDDSuamKQGVSalkZ2H1DMeIyZg0uZdJ4Z7hZYp7dPvfj0rwc2cVioinUlH19Iv8gPQT5NTXRAqsd5TYmrAcpIoU6hEzhgYBtV9YftL8DS7ew8umFF1xgg2UvJNtTEyEJjOnf80LhmT-kzm4dtARsAgKkO4r2Zkg0F4Shox61HUFTsFm0M9NFXDl6KPtQZen38B8Y4cIqs_g9JSVRBGrqlBAsrstWGHA8_nbcQ4wRMmO1lbpE2sXKvPZ08dS4sO8zqgSYDW7094dEI08itN8BT3p0vdMHaSORdpdf_b",
        pss: "eJSf3La0pGUjZq3wA8tcpg6czz3eyaYIMPmLDXxArkjQf5PRI3heqyOHCkltLvfjgKLuvGx24T-CfUq6KFPb-dqxl1CoJ0T63SoKZy2Sc8oM0NML8N91kHZgMo0OvMf_gmWYNsPQsstX5sRv9_xFUFWs7HIOH_7sb3AufEFtiBpHHTjOyN0h0x5PBQsNYVS-IhGMX3sCsKgPPIw1A7xP0-EXFKhLXG756xVKp7xbImbrmyllIPyEPZm5P8kul2SAvyf17e7dXy8bNU5vVqv0uGEfI1JnhE_k92n3-6r-N-tk_XHuGelt7oaVgfuUHs4LQcrcAE_K0dPG-NcIGm-LG5M3R5ryHJ7heGsnSsAsbs3rSWhrpNrBY6MS4dSz8IN_ZDSnFrKQCzfSJUXBHW-87yaEJwdTcLBMw9w9q6b2XZwhffJ0wHQtnUflMtVaCW0xeWs1p2K7bfx4cBiZa9vSuQfm0JbaXmKXbIJyRZ3GbGmDKZIGMY9USLOvC8HgLUXC",
    },
    Vector {
        bits: 4096,
        hash: Hash::Sha256,
        modulus: "wR9xlTMiJKqbSBKmdRIXFnFScIOwXRJLqovDptkyaaLZAoIxTYKuZtF6gX1ivHjxHGPxJGm-mFr-V51KTzAg3ZcP2ISjeHlbhrxWLLeVglDe1WrPOCzeOZIt-CtfQh614fh5XhggjXmfnf_TJOaEP5_BKgJBtkoUKgyXQ8XVD52UksKfsmgdr8AWRiErex0m2nTU1hXJIJiEoMyGE35xj1En-amhMZJ3t4uPZMuwl0MVNefj_GwXTzYSLMiMdoqphMczPJf1urTm9IvWAM4FH6cS-qZWI7Qho4NRALA4LYh-6qKBaboCXoubXinXsMPiON4qxCjLH2XChxKlekXolqxmAxYe_Th1vDZTj8U2Kqa_KmPMIe-Ds7xoH-bw3wxcD7Ji7IgXrTMVS5U_8wP89EI2srfp1il_8q8avXvKc2hzvZj4r9T-xZvWcmZouACdhzST07wPe5GSACLAtoQrCGq6o3N2KZOGZWnuh6hKdd2IBzSPgJSRIqRjpJQ2MCHAHFzhv86gTSDAmsqkAW3VFmKVubZm00_6jOyU7HKDo5Yl7czJWy89BJsSEX2f2WjOi3MWKtnlRqhz0QnyRRBTu7riaWE_tQw4zWhSDQNECuT3XMjCdYJX6QrHbe45KVwqJLlbjQ6QbUm30UKRfOc6EjkVLZUKHl1MAAx7eL1P2dM",
        pkcs1: "L9R_0eQWbbbrWlupqWHAyZi3LUpioJKbStolUV6BDujLWU5vngLdJVf0ddUipdnRJPhFisGCJuVep2IbdN7cHaHK5pjj_Ns_zOy8psdl0az1CsZt_nIqQIhv_GRgq51yMMaNqGNR_Aqv9HtwJV_Q8Bgpb8Z7FCCGs8shM5RrD2PlAZDaRzDzXgRlBLNCQzRVgXcVWQvugJ3KMiRiMzVcePhOF0TXstP_gL9ux1XRCf8BXgmWsLM6RpUXEdUvU-i8lO5x0s6jck51T-iAtdBJJhiTDq6lGMlPhqXbgKJ3bplqo0-YyxK216IfvPEpbdkCRhZP0HOWr_f559dljb1xjVDrYQEjB-Ic3A4oxFUBXw5CKKmrx8vUKlWit7a8kKmYu7opagr4sDFJFkoKi5g6inTxpEDXfWEpvsxTYL54eg-6d0FIBOCxXq1m7wQQc9mgcoAbfFy2YZnCkINlxZfTfWvvKqgiehNdINFtcWtvH-HwNeq3ovLsBCLIIGjAbAc_Fq6Y-JRuLLGVVmR22n6asRPf1NaognfJlxVjde4mHJzbxjwAJkSaUb__bE1vDVUbPc5Yuc5qXi2oY9Pr3XeDdxHyIjIZ6JK2qfp5xSKYnA5Z9256Ezb9EFB_phTU9U67npGeieKe4mZF2RyGtMMG2SmsmmSix7Ww4GwvzPK1p18",
        pss: "tCdUb3kJ-BeXBa6Upr6c7wg6lQR170StxMTD2Dcg0WqvifvxviLJSSr45Va69PZ2Hhr4q8LuaZZYUFHnzqGNKNW9OohlM40BBK4pz4X0D8RCoB5wdqYGi1V0l1rALjFhNhyKxUPZ8T1RqXNDM8omvaDTyWQDsR7HMfMbd7tBIyN_1opx8-HWVrlEMsZu5tOhq8XZDkiK4EJkjjXen7US2eAqL7z6UNn5ZBWNUWMGlHPewDrnkFGYAhF1QVOAk-fI-tJ82iqWdvZ-T8yN0K75dQCz5AX2AIzk5xx6nPVa0DdRe634NCIFoRTZJFG5VJI84c_OK69mU5wOmZ1Umjvkvj8e6l8KHso-5cDVeqstxZujgmIOrhdYtrHY7CZe-32q-KMnsjR_5fu_vkE2SToJ0LwLJ5pKWwBOTJJTnqNzI1ibF6SAl27aCp2sNm4iynCFrN2BXaRdllC6UmZsqahl6h9J4IdI9Fwbgh5z2j2q8ByMIYHCkGzzKC-I-kepadIaGkt9RbJh0Ff7IcrtYSML4b_CW198FIUA1LHwrEUJw0lHrhw26iVKjBJEeQmD7VQm1MIGxQlxY9Rd6c0g0cnouYZV_DAcsOV8BhW8yB77WR1BOIuJqrXOpZMaW3oLnFfbnlUIKh53VnqhM50PCzIWvTc6mEEXPehPsFVJhJXxb8A",
    },
];

#[test]
fn signatures_of_openssl() {
    for Vector { bits, hash, modulus, pkcs1, pss } in VECTORS {
        let key = PublicKey::read(&unbase64(modulus), E).unwrap();
        assert_eq!(key.bits, bits);
        let (pkcs1, pss) = (unbase64(pkcs1), unbase64(pss));
        assert!(key.holds_pkcs1(hash, TEXT, &pkcs1), "{bits}");
        assert!(key.holds_pss(hash, TEXT, &pss), "{bits}");
        assert!(!key.holds_pkcs1(hash, TEXT, &pss), "{bits}: one as the other");
        assert!(!key.holds_pss(hash, TEXT, &pkcs1), "{bits}: the other as the one");
        assert!(!key.holds_pkcs1(hash, b"header.payloae", &pkcs1), "{bits}: another text");
        assert!(!key.holds_pss(hash, b"header.payloae", &pss), "{bits}: another text");
        for other in [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().filter(|&other| other != hash) {
            assert!(!key.holds_pkcs1(other, TEXT, &pkcs1), "{bits}: another hash");
            assert!(!key.holds_pss(other, TEXT, &pss), "{bits}: another hash");
        }
        for at in [0, key.bytes() / 2, key.bytes() - 1] {
            for bit in 0..8 {
                let bent = |signature: &[u8]| {
                    let mut signature = signature.to_vec();
                    signature[at] ^= 1 << bit;
                    signature
                };
                assert!(!key.holds_pkcs1(hash, TEXT, &bent(&pkcs1)), "{bits}: bit {bit} of {at}");
                assert!(!key.holds_pss(hash, TEXT, &bent(&pss)), "{bits}: bit {bit} of {at}");
            }
        }
    }
}

#[test]
fn keys() {
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= bytes.len() * 8 - bits;
        bytes
    };
    for (bits, is_ours) in [
        (512, false),
        (1024, false),
        (2047, false),
        (2048, true),
        (2049, true),
        (3071, true),
        (4096, true),
        (4097, false),
        (65536, false),
    ] {
        let key = PublicKey::read(&modulus(bits), E);
        assert_eq!(key.as_ref().map(|key| key.bits), is_ours.then_some(bits), "{bits}");
        assert_eq!(key.map(|key| key.bytes()), is_ours.then_some(bits.div_ceil(8)), "{bits}");
    }
    let padded = [&[0, 0, 0][..], &modulus(2050)].concat();
    assert_eq!(
        PublicKey::read(&padded, &[0, 0, 1, 0, 1]).map(|key| (key.bits, key.bytes())),
        Some((2050, 257))
    );
    let mut even = modulus(2048);
    even[255] = 0xfe;
    for none in [&[][..], &[0; 256], &even] {
        assert!(PublicKey::read(none, E).is_none(), "{} bytes", none.len());
    }
    for exponent in [
        &[][..],
        &[0],
        &[1],
        &[2],
        &[3],
        &[17],
        &[1, 0],
        &[1, 0, 0],
        &[1, 0, 1, 0],
        &[1, 0, 0, 1],
        &[1, 1, 0, 1],
    ] {
        assert!(PublicKey::read(&modulus(2048), exponent).is_none(), "{exponent:?}");
    }
}

/// Bytes that look like chance and are the same each time.
fn scattered(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    mask(Hash::Sha256, seed.as_bytes(), &mut bytes);
    bytes
}

/// The number that `encoded` says, signed with the key of RFC 7515 A.2: whatever it says, a check opens it to that.
fn signed(encoded: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, 2048).unwrap();
    // The public operation with the private exponent.
    let key = ::rsa::PublicKey::new_unchecked(number(&unbase64(RSA[0])), number(&unbase64(RSA[1])));
    hazmat::rsa_encrypt(&key, &number(encoded)).unwrap().to_be_bytes().into_vec()
}

fn digest(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    let text = parts.concat();
    match hash {
        Hash::Sha256 => hmac_sha256::Hash::hash(&text).to_vec(),
        Hash::Sha384 => hmac_sha512::sha384::Hash::hash(&text).to_vec(),
        Hash::Sha512 => hmac_sha512::Hash::hash(&text).to_vec(),
    }
}

/// Lays MGF1 (RFC 8017 B.2.1) over the bytes.
fn mask(hash: Hash, seed: &[u8], bytes: &mut [u8]) {
    for (counter, chunk) in (0_u32..).zip(bytes.chunks_mut(hash.size())) {
        let mask = digest(hash, &[seed, &counter.to_be_bytes()]);
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// EMSA-PKCS1-v1_5 (RFC 8017 §9.2) for 2048 bits.
fn padded(hash: Hash, digest: &[u8]) -> Vec<u8> {
    let (number, info, size) = match hash {
        Hash::Sha256 => (1, 0x31, 32),
        Hash::Sha384 => (2, 0x41, 48),
        Hash::Sha512 => (3, 0x51, 64),
    };
    // `DigestInfo` of §9.2, note 1: it differs in the last arc of the hash's name and in the lengths.
    #[rustfmt::skip]
    let info = [
        0, 0x30, info, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, number, 0x05, 0x00, 0x04, size,
    ];
    [&[0, 1], vec![0xff; 254 - info.len() - digest.len()].as_slice(), &info, digest].concat()
}

/// Whether it is a number that the key of RFC 7515 A.2 can sign: above the modulus it would be another one, and its row would say nothing.
fn is_below_the_modulus(encoded: &[u8]) -> bool {
    encoded < unbase64(RSA[0]).as_slice()
}

#[test]
fn signatures_that_are_no_numbers_below_the_modulus() {
    let key = key();
    let modulus = unbase64(RSA[0]);
    let holds = |text: &[u8], signature: &[u8]| {
        let pkcs1 = key.holds_pkcs1(Hash::Sha256, text, signature);
        assert!(!key.holds_pss(Hash::Sha256, text, signature));
        pkcs1
    };
    // The same number modulo the modulus, where it has as many bytes.
    let mut found = 0;
    for text in (0..32_u8).map(|number| [number]) {
        let good = sign(Algorithm::RS256, &text);
        assert!(holds(&text, &good));
        let mut more = vec![0; good.len()];
        let mut carry = 0;
        for (place, (a, b)) in more.iter_mut().rev().zip(good.iter().rev().zip(modulus.iter().rev())) {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            *place = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        if carry == 0 {
            assert!(!holds(&text, &more), "{text:?}");
            found += 1;
        }
    }
    assert!(found > 0, "one in three");
    let mut highest = modulus.clone();
    highest[255] -= 1;
    let mut one = vec![0; 256];
    one[255] = 1;
    for (name, bad) in [
        ("zero", vec![0; 256]),
        ("one", one),
        ("the modulus less one", highest),
        ("the modulus", modulus),
        ("ones", vec![0xff; 256]),
        ("nothing", vec![]),
    ] {
        assert!(!holds(TEXT, &bad), "{name}");
    }
    // The good one with a zero in front, and without its first byte that is none.
    let text =
        (0..=u16::MAX).map(u16::to_be_bytes).find(|text| sign(Algorithm::RS256, text)[0] == 0).unwrap();
    let good = sign(Algorithm::RS256, &text);
    assert!(holds(&text, &good));
    assert!(!holds(&text, &good[1..]));
    assert!(!holds(&text, &[&[0], good.as_slice()].concat()));
}

#[test]
fn paddings_of_pkcs1_that_are_almost_right() {
    let key = key();
    let hashed = digest(Hash::Sha256, &[TEXT]);
    let good = padded(Hash::Sha256, &hashed);
    // 00 01 FF… 00, then the digest's name and length in 19 bytes, then the digest.
    let (filling, info) = (good.len() - 32 - 19 - 3, good[good.len() - 51..good.len() - 32].to_vec());
    let encoded = |head: &[u8], filling: usize, tail: &[&[u8]]| {
        [head, vec![0xff; filling].as_slice(), &[0], &tail.concat()].concat()
    };
    assert_eq!(good, encoded(&[0, 1], filling, &[&info, &hashed]));
    let holds = |encoded: &[u8]| key.holds_pkcs1(Hash::Sha256, TEXT, &signed(encoded));
    assert!(holds(&good));
    assert_eq!(signed(&good), sign(Algorithm::RS256, TEXT), "as another library signs it");

    let unnamed = [&[0x30, 0x2f, 0x30, 0x0b], &info[4..15], &[0x04, 0x20]].concat();
    let sha1 = [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
    let long = [&[0x30, 0x81, 0x31], &info[2..]].concat();
    for (name, bad) in [
        ("for encryption", encoded(&[0, 2], filling, &[&info, &hashed])),
        ("of private keys", encoded(&[0, 0], filling, &[&info, &hashed])),
        (
            "with rubbish behind (Bleichenbacher)",
            encoded(&[0, 1], 8, &[&info, &hashed, &vec![0; filling - 8]]),
        ),
        ("one byte behind", encoded(&[0, 1], filling - 1, &[&info, &hashed, &[0]])),
        ("no parameter", encoded(&[0, 1], filling + 2, &[&unnamed, &hashed])),
        ("a long length", encoded(&[0, 1], filling - 1, &[&long, &hashed])),
        ("no name", encoded(&[0, 1], filling + 19, &[&hashed])),
        ("SHA-1's name", encoded(&[0, 1], filling + 4, &[&sha1, &hashed])),
        ("SHA-1", encoded(&[0, 1], filling + 16, &[&sha1, &hashed[..20]])),
        ("SHA-512", padded(Hash::Sha512, &digest(Hash::Sha512, &[TEXT]))),
        ("SHA-512's name", padded(Hash::Sha512, &hashed)),
        ("nothing to fill", [&[0, 1, 0], info.as_slice(), &hashed, &vec![0; filling]].concat()),
    ] {
        assert_eq!(bad.len(), 256, "{name}");
        assert!(!holds(&bad), "{name}");
    }
    for at in (1..good.len()).step_by(7) {
        let mut bent = good.clone();
        bent[at] ^= 0x10;
        assert!(!holds(&bent), "bent at {at}");
    }
}

/// EMSA-PSS-ENCODE (RFC 8017 §9.1.1) for 2048 bits, with what each step may be given otherwise.
struct Sealing<'s> {
    text: &'s [u8],
    front: &'s [u8],
    salt: &'s [u8],
    mask: Hash,
    end: u8,
    /// Laid over the first byte after all else.
    first: u8,
}

impl Sealing<'_> {
    fn made(&self, hash: Hash) -> Vec<u8> {
        let seal = digest(hash, &[&[0; 8], &digest(hash, &[self.text]), self.salt]);
        let zeros = 256 - seal.len() - 1 - self.salt.len() - self.front.len();
        let mut block = [&vec![0; zeros], self.front, self.salt].concat();
        mask(self.mask, &seal, &mut block);
        block[0] &= 0x7f;
        block[0] ^= self.first;
        [block.as_slice(), &seal, &[self.end]].concat()
    }
}

#[test]
fn seals_of_pss_that_are_almost_right() {
    let key = key();
    let salt = scattered("salt", 220);
    let good = |length| Sealing {
        text: TEXT,
        front: &[1],
        salt: &salt[..length],
        mask: Hash::Sha256,
        end: 0xbc,
        first: 0,
    };
    let holds = |sealing: &Sealing<'_>| {
        let encoded = sealing.made(Hash::Sha256);
        assert!(is_below_the_modulus(&encoded));
        key.holds_pss(Hash::Sha256, TEXT, &signed(&encoded))
    };
    assert!(holds(&good(32)));
    for length in [0, 1, 20, 31, 33, 64, 220] {
        assert!(!holds(&good(length)), "a salt of {length}");
    }
    for (name, bad) in [
        ("another text", Sealing { text: b"header.payloae", ..good(32) }),
        ("no one", Sealing { front: &[0], ..good(32) }),
        ("two", Sealing { front: &[2], ..good(32) }),
        ("no zeros", Sealing { front: &[1, 1], ..good(32) }),
        ("a bit among the zeros", Sealing { front: &[0x80, 0, 0, 1], ..good(32) }),
        ("the one too early", Sealing { front: &[1, 0], ..good(32) }),
        ("another mask", Sealing { mask: Hash::Sha384, ..good(32) }),
        ("the end of X9.31", Sealing { end: 0xcc, ..good(32) }),
        ("no end", Sealing { end: 0, ..good(32) }),
        ("a bit in the first byte", Sealing { first: 0x10, ..good(32) }),
    ] {
        assert!(!holds(&bad), "{name}");
    }
    // The one bit that the encoded message does not have, set: a reader that only masks it would not see it.
    let tall = (0..=u8::MAX)
        .map(|byte| {
            let mut salt = salt[..32].to_vec();
            salt[0] = byte;
            Sealing { salt: &salt, first: 0x80, ..good(32) }.made(Hash::Sha256)
        })
        .find(|encoded| is_below_the_modulus(encoded))
        .unwrap();
    assert!(!key.holds_pss(Hash::Sha256, TEXT, &signed(&tall)), "the highest bit");
    let mut low = tall;
    low[0] &= 0x7f;
    assert!(key.holds_pss(Hash::Sha256, TEXT, &signed(&low)), "without it");
    assert!(!key.holds_pss(
        Hash::Sha256,
        TEXT,
        &signed(&padded(Hash::Sha256, &digest(Hash::Sha256, &[TEXT])))
    ));
}
