"""The report page's style sheet: light and dark, from 360 pixels to wide screens, and on paper."""

CSS = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; }
main { max-width: 70rem; margin: auto; padding: 1rem; }
.scroll { overflow-x: auto; }
th { text-align: left; }
"""
