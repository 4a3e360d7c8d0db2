"""Faults of items and of their pictures."""

from __future__ import annotations

from visrec.checks.codes.code import Code

PICTURES: dict[str, Code] = {
    # Items and where their pictures are.
    "duplicate-item": Code(
        "error", "rows of the table of items repeat an item",
        "Which of them tells of the item is not known, and visrec refuses the table.",
        "always", "keeps the first of each",
    ),
    "missing-item-id": Code(
        "error", "rows of the table of items or of images have no id",
        "They belong to no item, and visrec refuses the table.",
        "always", "removes the rows",
    ),
    "item-without-image": Code(
        "error", "items have no picture",
        "They can have no visual features: models that look at pictures cannot place them.",
        "always", "removes the items and their interactions",
        advice="add the pictures (where addresses are listed: visrec fetch-images), or keep such items with "
        "--allow-missing-images",
    ),
    "listed-image-missing": Code(
        "error", "rows of the list of images point to no file",
        "Their items can have no visual features.",
        "always", "removes the items and their interactions",
        advice="mend the paths, or keep such items with --allow-missing-images",
    ),
    "two-images": Code(
        "error", "items have several pictures",
        "Which of them is meant is not known, and visrec refuses the folder.",
        "always", "keeps the readable one with most pixels",
    ),
    "image-without-item": Code(
        "note", "pictures belong to no item",
        "They are ignored; perhaps the names of the files and the ids differ in how they are written.",
        "always", "leaves them out",
    ),
    "ignored-file": Code(
        "note", "files or folders among the images are not looked at",
        "Only .jpg, .jpeg, .png, .webp and .gif directly in images/ are.",
        "always", "leaves them out",
        advice="rename or convert them where they are pictures of items; list what lies in folders in images.csv",
    ),
    "bad-file-name": Code(
        "error", "names of picture files are not UTF-8",
        "An id is text: visrec refuses the folder.",
        "always", "leaves them out",
    ),
    # The pictures.
    "empty-image": Code(
        "error", "picture files are empty",
        "Their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "unreadable-image": Code(
        "error", "picture files cannot be opened",
        "Their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "not-an-image": Code(
        "error", "files are no pictures, whatever their names say",
        "Often a page with an error that was saved as a picture; their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "truncated-image": Code(
        "error", "pictures are cut short or damaged",
        "Some programs show them half grey; here their items get no visual features.",
        "always", "removes the items and their interactions",
    ),
    "oversized-image": Code(
        "error", "pictures have more pixels than are decoded",
        "Decoding them would take more memory than a worker has; their items get no visual features.",
        "always", "removes the items and their interactions",
        advice="save smaller copies",
    ),
    "wrong-extension": Code(
        "warning", "pictures are of another format than their names say",
        "visrec goes by the content; browsers and other programs may not.",
        "always", "renames them",
    ),
    "tiny-image": Code(
        "warning", "pictures have a side below 32 pixels",
        "There is next to nothing to see: icons or placeholders rather than pictures.",
        "asked", "removes the items and their interactions",
        advice="bring larger pictures",
    ),
    "blank-image": Code(
        "warning", "pictures are of one colour",
        "Placeholders, which all look alike: their items become neighbours of each other for no reason.",
        "asked", "removes the items and their interactions",
        advice="bring the pictures",
    ),
    "odd-shape": Code(
        "note", "pictures are more than five times as long as wide, or the other way round",
        "Networks look at the middle square: most of such a picture is cut off.",
    ),
    "exact-duplicate": Code(
        "warning", "items have the same picture file as another",
        "No model can tell them apart by sight; one of them recommended for the other is no merit.",
        "asked", "makes them one item, which takes over the interactions; of each user's the oldest",
    ),
    "near-duplicate": Code(
        "warning", "items have nearly the same picture as another",
        "The same picture saved twice, or pictures of one thing; one recommended for the other is no merit.",
        "asked", "makes them one item, which takes over the interactions; of each user's the oldest",
        advice="leave them where a look at them shows two things",
    ),
    "cmyk-image": Code(
        "warning", "pictures are in the colours of print (CMYK)",
        "Each program turns them into other colours of the screen.",
        "always", "saves them as RGB",
    ),
    "other-colours": Code(
        "warning", "pictures are in other colours than those of the screen (sRGB)",
        "Their colour profile says so (Adobe RGB, Display P3 and the like); visrec and most networks go by the "
        "numbers alone and see paler or shifted colours.",
        "always", "saves them in the colours of the screen",
    ),
    "deep-image": Code(
        "warning", "pictures have 16 bits a channel",
        "Many programs cut them off at 255 and see white.",
        "always", "saves them with 8 bits a channel",
    ),
    "rotated-image": Code(
        "warning", "pictures are to be turned as their EXIF data say",
        "visrec turns them; other programs show them lying.",
        "always", "saves them upright",
    ),
    "palette-image": Code(
        "note", "pictures have a palette",
        "visrec turns them into RGB; some programs read the numbers of the palette as grey.",
        "asked", "saves them as RGB",
    ),
    "transparent-image": Code(
        "note", "pictures are partly transparent",
        "visrec lays them on white; other programs on black.",
        "asked", "saves them on white",
    ),
    "animated-image": Code(
        "note", "pictures are animated",
        "Only the first frame is looked at.",
        "asked", "saves the first frame",
    ),
}  # fmt: skip
