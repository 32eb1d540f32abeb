"""Single points found in other images by what features say of them: in another view, in another thing of the same kind,
in later frames. No map is fitted, and no verdict given."""
