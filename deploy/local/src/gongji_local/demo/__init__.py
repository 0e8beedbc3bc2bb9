"""The demo: a family's mutual aid from registration to the payer's notice, played on a running stack and checked."""

from gongji_local.demo.play import play

__all__ = ["play"]
