// Two files of datasets in chunks, packed, partly written, never written, and of numbers whose first byte is the highest, as h5py
// 3.14 (HDF5 1.14.6) writes them in the oldest form of the format and in the newest; deflated, so that they are short.
//
//   n = lambda *s: np.arange(np.prod(s)).reshape(s)
//   with h5py.File(name, "w") as f:                             # libver="latest" in the newest
//       f.create_dataset("gzip", data=n(5, 7).astype("f4"), chunks=(2, 3), compression="gzip", shuffle=True, fletcher32=True)
//       f.create_dataset("big", data=n(2, 3, 4).astype(">i2"), chunks=(1, 3, 3))
//       d = f.create_dataset("part", (4, 5), "f4", chunks=(2, 2), fillvalue=7)
//       d[:2, :3] = n(2, 3)
//       f.create_dataset("one", data=n(6).astype("f8"), chunks=(6,), compression="gzip", maxshape=(9,))
//       f.create_dataset("small", data=n(3).astype("u1"), chunks=(3,), compression="gzip")
//       f.create_dataset("fill", (3,), ">i4", fillvalue=-2)
//       f["fill"].attrs["c"] = np.zeros(2, [("x", "f4")])
//       f["fill"].attrs["e"] = h5py.Empty("f4")
//       f["fill"].attrs["big"] = np.array([258], ">i4")

import { inflateSync } from 'node:zlib';

const FILES = {
    old: [
        'eNrtW11oI1UUPvfeyXSmvU0T+5du/yLooq3S0tZa2L8IqanI6qI+CCvS2qY/0NbSH2mL1VJkuz7YXXx2YRfcxRehisK+SRe6VEVEEd+EgoJbKAi+KtaZufdOkptMUkFa',
        'Wc8Hzck995tzbiYzw3dybt8dSD5dWX6iHFxYFhgQgWwcSGydyR2r+UFpibSXpf2IKj/x5mLSH5Xxdd5LL/T3u+wDDSpPpyHsI4D4P2Kg/6kLrn1Zjvuk3aG5vLHliRnX',
        'vjYx5o1nhmbnXfv6dNobz00NTU46dnTCM/51Gw/IS8AUHKLG4gokVDhCklcmrT5mzpXvMqPxVjBkpnoL6t/2+ZY3T5kIWAEXvDFhYp568wTmxhdGRyfTMoa7DuEfSY9O',
        'Ds1n/EzeXw53fng8PdvdJfyWvAMZZYshFdqlgzo0fqjv4cXnnk+650Q9Jd6LFOd3qvv+dHGepb4HVpynVjn1aHGeet483FKcp54nd7uO9np2n3cE7Lzn3YkSx21WCavz',
        '9NP2leQ1an5TG/9SlXu+aEDegwCenrc+Upin5+2QvAY5NgLypgJ4et5ByavReHreJe16VTy7xDoQCAQCgUAgjguLrw4PJmglr4oZsf3mpqZmEr1FP726sH7Hm4H1S6Fy',
        'M5zYvXfPUfxvsfnYnw2mN7PKOCechznf4BzC7eT9cOPOnph6Z+1SbeMbfWsEHnrc+PXnD7c+F/4Nuzv8we1dy4S2a6Eryau9KeEPcf5kLNa0ZUF0ifzx7UrL18Jf1nEW',
        'nkmlUnEbHvyCvdl+fvoHMdHKH0t8/92X9gCFqtvkzvL2N5tiueHOPeMkoQY8mzz1+0XilEO5xZYo8wgjBUWnESBGs4sh98iIrTiRgkWXJcsKRo1r0czvGUz+ZWni8WMo',
        'Eoy8IuGBQx7/U7OwQXxdRP+m8UmJ+KSlOF+PX92iF9e5PFaiCEEgEAgEAoFAIBDFJbojpg2n4DGdIseGcimxRXeqwnvlUAlhpzCKOjK+BmqhDsRP/dXea70IUrwJpuqt',
        'kFZ/hXxdX6oJFvHrMTG/mxBxRJ2mfFlNrCdaM6UCzaQcPMK6jObVZSV6YXBDNtF1nl7vfHKm8DzVzi8CgUAgEAgE4r8uxnUdLfQsIcKhNqvYebr5nNwglYCeCug5YEo3',
        '65vH4mLzmB+/8CaxjI6mK23gp7YyKz1KHZ2/6bMhgP+xtknL9D8PAoFAIBCI+xXenhGzdf8GL7O2yc3Q9c8uM+hdp6+UElb6BgN/Y4h/iPVvCaofuzOpsvZDHMfGkXxh',
        'VRHAN7Xd+cwXrAgEAoFAIO5nYTVC3b6wQaQEWv2nUsoGv7crpJTs6VLR03XUx1+uP7un6/p86USUSOE5S+OwKNdBIelwh6W/jogYi4f8iEG9Z/W59B5rJn+nn7/GiZAu',
        'EY/KEBwS8jjDeR/z/yFVP08qP8mTXCRrKavnABJOwFU3aEL0x6979m/Trid5',
    ],
    new: [
        'eNrNVklMVEEQre7+8+fPn+YzM4IMMMCoxAO4oBI0MdGPToZRYjB6McEYFZVMREBxQeMyGiNqjAvGJREMxOXiQWM08aTBJXGJEo3x4Im4RIjGg0fEpX8v48xEvEplpupX',
        'dXX/6uqq1/9ILBLNMgtMYhig6JekpabQK6R9Tle4tS4WWYbDIwXmxtR/u88H0C1XmCndTQwIQM8GJrTGXfHWB3JAtxwTWRtvXEGkRTi1rtmydVhLc2ppXj9RT3PaEG9q',
        'equC7S5tuMtDQoBQKQDGCLnkmFvKTJ3kAPKHS0C8KAx5BuTtc/xYvMTrDQHCxAkdcQ+UfBKxGgEADQNhThox+5FcNAH/neKnqo5Fq2MRQJbpUXvHQu5IhAfbVzWstnEW',
        'zQ5qwS9FoVAR8l/FN09u67gfrY4sAKT28lnKAs7P4FTtutQKOX8qtSDn79K04TQtIA86n/PyNC0itRzOs7wXXvBIoeOQy9Qte2Bw0IDgXrI1OJKv85EEoRRRalF6nFKw',
        'ylGnVfh4SAwdPHAot3D7nAMISqdqn95f7rst7Mc9s6yuOwOGDmXdrhORk1U1wu6idHYwGOozwL8Tfe/fU/xM2N3T58GimpqasAcm3CO7y5c0vxYDJXSK/erlE08MQ/Yd',
        'dH/Xo+c3RLhWxZA2GWENaiNzv9Uni7KSFSVBCKvik1JWOYxmJxSQz6PGfbI4jXG8+DSECMHEXKe8z8FYpX1tm5fzogTDVNF2yof6bfZj3mFsR6xLdTDAAyYvRlBbS0j5',
        'UMo3Ug5Kub/UiMvkif72ck4hCyyWNj8EWF3lwnjI5vZxnOc5LBM2tAy4yNRHhQ2TnUy5sA7Yf+ABM3jQJXTB+TF7QNDSdq9MnZAK96fEj8qjP0LJPLH+ZGlCyseTlpf5',
        'ICDZhkovVP4iSThldcxmJUHU8PP8YKQbxJymILkXxj5dyP8wpOBVdW2D3MBZd3WEo4Be8qWXuo1H6Iqr59ZhAlUdeKVAV7XXxe5U7FNXrbCFbuz/mJlukgEQHBh41/Db',
        'aLQ0h5w0s7Jm0ONN2US/ujgvjvV0D1zbM6FuYawWB1LzpEj3ORlwtW1a09R0Smb0/O3Tl5xDWIcdLNBEIo1/J9IDyX7mfVymiZf95H2M1OuonJMbcNwzg6FRZ1UMJc4V',
        '1gBRJBZtB/gbXjix4Az0V0QniZVynFnr/z6d/egMx01jKMdeyD6jIHUfzvrqqwQlV0bYXZzbJzF1PutTm0lbYK1Cqa+ypW0z/TtwNHrybm2CtzzDPYAeLn8D99gftA==',
    ],
};

/** @param {'old' | 'new'} form @returns {Uint8Array<ArrayBuffer>} */
export const chunkedFile = (form) => new Uint8Array(inflateSync(Buffer.from(FILES[form].join(''), 'base64')));
