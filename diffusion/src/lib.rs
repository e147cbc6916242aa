//! How pictures are made: the Stable Diffusion family in burn.
