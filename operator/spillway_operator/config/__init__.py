"""What the chart's values say, read strictly."""
