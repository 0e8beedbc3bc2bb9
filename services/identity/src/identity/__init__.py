"""Who is this patient, what insurance do they hold, where are they."""
