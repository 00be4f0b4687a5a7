"""A music library: artists, their albums and tracks, genres within genres, and listeners who follow artists."""
